//go:build linux

package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"
)

// direct measures as many calls of Gmail in a row, each the next page, over a
// connection that is there already: what can't be done faster.
func direct(name string, calls, page int) probe {
	var client *http.Client
	return probe{
		name: name,
		prepare: func(r *running) (err error) {
			if client, err = gmailClient(r.path("ca.pem")); err != nil {
				return err
			}
			return inARow(r, client, calls, page) // also for the stub to have the answers ready
		},
		measure: func(r *running) error {
			start := time.Now()
			if err := inARow(r, client, calls, page); err != nil {
				return err
			}
			r.record("ms", milliseconds(time.Since(start)))
			return nil
		},
	}
}

func gmailClient(roots string) (*http.Client, error) {
	b, err := os.ReadFile(roots)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(b)
	return &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: pool}}}, nil
}

func inARow(r *running, client *http.Client, calls, page int) error {
	query := gmailQuery(page)
	for n := range calls {
		next, err := gmailPage(r, client, query)
		if err != nil {
			return err
		}
		if next == "" && n < calls-1 {
			return fmt.Errorf("the mailbox ends after %d pages", n+1)
		}
		query.Set("pageToken", next)
	}
	return nil
}

func gmailPage(r *running, client *http.Client, query url.Values) (next string, err error) {
	req, err := http.NewRequestWithContext(r.ctx, http.MethodGet, "https://gmail.googleapis.com"+gmailList+"?"+query.Encode(), nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+r.google.accessToken)
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || resp.ProtoMajor != 2 {
		return "", fmt.Errorf("call of Gmail: %s %d: %.300s: %w", resp.Proto, resp.StatusCode, body, err)
	}
	var answer struct{ NextPageToken string }
	err = json.Unmarshal(body, &answer)
	return answer.NextPageToken, err
}

//go:build linux

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"cloud.google.com/go/firestore"
	"golang.org/x/oauth2"
	oauth2google "golang.org/x/oauth2/google"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// signIn gives the functions a grant, and a session to us; and the peers a refresh
// token in the place where they look for one.
func (l *lab) signIn(g *google) error {
	ctx, cancel := context.WithTimeout(l.ctx, time.Minute)
	defer cancel()
	if err := l.signInFunctions(ctx, g); err != nil {
		return err
	}
	return g.signInPeers(ctx)
}

// signInFunctions goes the hand-off way through the three functions in one process,
// which talk to the stand-in directly: signing in is not what is measured.
func (l *lab) signInFunctions(ctx context.Context, g *google) error {
	functions := l.functions("")
	functions.env = append(functions.env,
		"CLIENT_SECRET_NAME=gmailgrant-client-direct",
		"FIRESTORE_EMULATOR_HOST="+g.Direct, "SECRET_MANAGER_EMULATOR_HOST="+g.Direct, "GMAIL_EMULATOR_HOST="+g.Direct)
	p, err := l.start(functions, nil)
	if err != nil {
		return err
	}
	defer p.stop()
	if err := p.listens(); err != nil {
		return err
	}
	verifier := rand.Text() + rand.Text()
	query := url.Values{"return_to": {returnURL}, "code_challenge": {oauth2.S256ChallengeFromVerifier(verifier)}, "code_challenge_method": {"S256"}}
	var begun struct {
		URL string `json:"authorization_url"`
	}
	if err := askJSON(ctx, http.MethodGet, p.url("authurl", query), nil, &begun); err != nil {
		return err
	}
	atCallback, err := consent(ctx, begun.URL)
	if err != nil {
		return err
	}
	back, err := redirected(ctx, http.MethodGet, p.url("callback", atCallback.Query()), nil)
	if err != nil {
		return err
	}
	var traded struct{ Session string }
	if err := askJSON(ctx, http.MethodPost, p.url("callback", nil), map[string]string{"code": back.Query().Get("code"), "code_verifier": verifier}, &traded); err != nil {
		return err
	}
	g.session = traded.Session
	return nil
}

func (g *google) signInPeers(ctx context.Context) error {
	config, err := oauth2google.ConfigFromJSON(g.Client, "openid", gmailScope)
	if err != nil {
		return err
	}
	back, err := consent(ctx, config.AuthCodeURL("state", oauth2.AccessTypeOffline, oauth2.ApprovalForce, oauth2.SetAuthURLParam("prompt", "consent")))
	if err != nil {
		return err
	}
	token, err := config.Exchange(ctx, back.Query().Get("code"))
	if err != nil {
		return err
	}
	g.accessToken = token.AccessToken
	client, err := firestore.NewClient(ctx, project, option.WithEndpoint(g.Direct), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
	if err != nil {
		return err
	}
	defer client.Close()
	_, err = client.Collection("tokens").Doc(user).Set(ctx, map[string]string{"refresh_token": token.RefreshToken})
	return err
}

// consent allows everything on the stand-in's page, and returns where that leads.
func consent(ctx context.Context, authorizationURL string) (*url.URL, error) {
	u, err := url.Parse(authorizationURL)
	if err != nil {
		return nil, err
	}
	form := u.Query()
	form["requested_scope"] = form["scope"]
	form["scope"] = []string{gmailScope}
	form.Set("account", user)
	form.Set("action", "allow")
	u.RawQuery = ""
	return redirected(ctx, http.MethodPost, u.String(), form)
}

// browser does not follow redirects.
var browser = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

func redirected(ctx context.Context, method, address string, form url.Values) (*url.URL, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewBufferString(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := browser.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	to, err := resp.Location()
	if err == nil && to.Query().Has("error") {
		err = fmt.Errorf("it ends at %s", to)
	}
	if err != nil {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
		return nil, fmt.Errorf("%s %s: status %d: %w\n%s", method, address, resp.StatusCode, err, body)
	}
	return to, nil
}

func askJSON(ctx context.Context, method, address string, question, answer any) error {
	body := []byte(nil)
	if question != nil {
		var err error
		if body, err = json.Marshal(question); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Content-Type", "application/json")
	resp, err := browser.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
		return fmt.Errorf("%s %s: status %d\n%s", method, address, resp.StatusCode, body)
	}
	return json.NewDecoder(resp.Body).Decode(answer)
}

package main

import (
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"example.com/gmailgrant/internal/fakegoogle"
)

// google is what stands in for Google, and for how much of it.
type google struct {
	*fakegoogle.Server
	real bool   // signing in and mail are Google's; only secrets and grants are here
	data string // file that keeps them; "": memory

	mu     sync.Mutex
	remove []func() // each ends a fault in force
}

// startGoogle starts the stand-in with both secrets in its Secret Manager.
func startGoogle(o options, p place, getenv func(string) string) (*google, error) {
	client, err := readClientSecret(o.clientSecret, p.function("callback"))
	if err != nil {
		return nil, err
	}
	if o.data != "" {
		if err := os.MkdirAll(filepath.Dir(o.data), 0o700); err != nil {
			return nil, fmt.Errorf("folder for the data: %w", err)
		}
	}
	server, err := fakegoogle.Start(fakegoogle.Options{
		Addr:              net.JoinHostPort("127.0.0.1", strconv.Itoa(o.googlePort)),
		RedirectURIs:      []string{p.function("callback")},
		JavaScriptOrigins: allowedOrigins(p, getenv("ALLOWED_ORIGINS")),
		StateFile:         o.data,
	})
	if err != nil {
		return nil, googleError(o, err)
	}
	g := &google{Server: server, real: client != nil, data: o.data}
	if client == nil {
		client = server.ClientJSON()
	}
	g.addSecrets(client, getenv)
	return g, nil
}

// googleError tells a port that can't be used from everything else.
func googleError(o options, err error) error {
	if errors.As(err, new(*net.OpError)) {
		return portError(o.googlePort, "-google-port", err)
	}
	return err
}

// addSecrets puts the client secret, as it is today, and at the first start a
// random seal key where the functions look for them.
func (g *google) addSecrets(client []byte, getenv func(string) string) {
	g.AddSecretVersion(secretID(getenv("CLIENT_SECRET_NAME"), "gmailgrant-client"), client)
	sealKey := secretID(getenv("SEAL_KEY_NAME"), "gmailgrant-seal-key")
	if g.HasSecret(sealKey) {
		return
	}
	key := make([]byte, 32)
	rand.Read(key) // never fails: crypto/rand
	g.AddSecretVersion(sealKey, []byte(base64.StdEncoding.EncodeToString(key)))
}

// secretID is the last part of a secret's name, which may be given as the ID or
// as the full resource name projects/P/secrets/ID.
func secretID(name, byDefault string) string {
	name = cmp.Or(name, byDefault)
	if _, id, found := strings.Cut(name, "/secrets/"); found {
		name, _, _ = strings.Cut(id, "/")
	}
	return name
}

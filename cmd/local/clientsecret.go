package main

import (
	"fmt"
	"os"
	"slices"

	"example.com/gmailgrant/tokenstore"
)

// readClientSecret reads a client secret as Google's console offers it for
// download and checks that signing in can work with it. No name, no secret.
func readClientSecret(name, redirectURI string) ([]byte, error) {
	if name == "" {
		return nil, nil
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("client secret: %w", err)
	}
	if err := checkClientSecret(b, redirectURI); err != nil {
		return nil, fmt.Errorf("client secret %s: %w", name, err)
	}
	return b, nil
}

func checkClientSecret(b []byte, redirectURI string) error {
	client, err := tokenstore.ParseClient(b)
	if err != nil {
		return fmt.Errorf("%w; download the JSON of an OAuth client of the type Web application again", err)
	}
	if !slices.Contains(client.RedirectURIs, redirectURI) {
		return fmt.Errorf("the redirect URI of this command is not registered; add exactly\n\n\t%s\n\nto the client's authorized redirect URIs and download its JSON again", redirectURI)
	}
	return nil
}

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
)

// clientFile is the part of a downloaded client secret that is checked here.
// Values are never put into errors.
type clientFile struct {
	Web *struct {
		ClientID     string   `json:"client_id"`
		ClientSecret string   `json:"client_secret"`
		RedirectURIs []string `json:"redirect_uris"`
	} `json:"web"`
	Installed json.RawMessage `json:"installed"`
}

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
	var f clientFile
	if err := json.Unmarshal(b, &f); err != nil {
		return errors.New("this is not the JSON file that Google's console offers for download")
	}
	switch {
	case f.Web == nil && f.Installed != nil:
		return errors.New(`this client is of the type "Desktop app"; create an OAuth client of the type "Web application" and download its JSON`)
	case f.Web == nil:
		return errors.New(`there is no "web" in it; create an OAuth client of the type "Web application" and download its JSON`)
	case f.Web.ClientID == "" || f.Web.ClientSecret == "":
		return errors.New("client_id or client_secret is missing; download the JSON again, or add a new secret to the client first")
	case !slices.Contains(f.Web.RedirectURIs, redirectURI):
		return fmt.Errorf("the redirect URI of this command is not registered; add exactly\n\n\t%s\n\nto the client's authorized redirect URIs and download its JSON again", redirectURI)
	}
	return nil
}

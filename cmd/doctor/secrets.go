package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"example.com/gmailgrant/internal/seal"
)

// checkSecrets reads both secrets as the functions do.
func (d *doctor) checkSecrets(ctx context.Context) {
	d.checkClient(ctx)
	if _, _, err := d.store.Ring().Seal(ctx, seal.Grant, time.Time{}, nil); err != nil {
		d.fail("seal key", "%v. %s", err, remedyForSecret)
		return
	}
	d.ok("seal key", "its newest version is readable and long enough")
}

const remedyForSecret = "The secret has to be there, its newest version enabled, and readable for the functions and for you (roles/secretmanager.secretAccessor); deploy/deploy.sh sees to the former"

func (d *doctor) checkClient(ctx context.Context) {
	client, err := d.store.Client(ctx)
	if err != nil {
		d.fail("client secret", "%v. %s", err, remedyForSecret)
		return
	}
	d.client = client
	d.ok("client secret", "is the JSON of a web application, %s", client.ID)
	d.checkRedirectURI()
	if d.config.PopupFlow {
		d.checkJavaScriptOrigins()
	}
}

// register is how to correct what Google compares with.
const register = "register it at https://console.cloud.google.com/auth/clients, download the JSON again, and store it with deploy/deploy.sh"

// checkRedirectURI compares as Google does: to the byte.
func (d *doctor) checkRedirectURI() {
	want := d.site.FunctionURL("callback")
	if slices.Contains(d.client.RedirectURIs, want) {
		d.ok("redirect URI", "%s is registered", want)
		return
	}
	for _, uri := range d.client.RedirectURIs {
		if normal(uri) == normal(want) {
			d.fail("redirect URI", "%s is not registered, but %s, which is not the same to Google: %s", want, uri, register)
			return
		}
	}
	d.fail("redirect URI", "%s is not among the redirect_uris of the client secret: %s", want, register)
}

// normal leaves out what one overlooks.
func normal(uri string) string {
	_, rest, _ := strings.Cut(strings.ToLower(uri), "://")
	return strings.TrimSuffix(strings.TrimPrefix(rest, "www."), "/")
}

func (d *doctor) checkJavaScriptOrigins() {
	for _, origin := range d.config.AllowedOrigins {
		if slices.Contains(d.client.Origins, origin) {
			d.ok("popup", "%s is registered", origin)
			continue
		}
		d.fail("popup", "POPUP_FLOW is on, and %s is not among the javascript_origins of the client secret: %s", origin, register)
	}
}

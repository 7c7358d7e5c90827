package main

import (
	"context"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"example.com/gmailgrant"
	"example.com/gmailgrant/internal/site"
	"example.com/gmailgrant/tokenstore"
)

// settings are the variables that the functions read.
var settings = []string{
	"BASE_URL", "GOOGLE_CLOUD_PROJECT", "CLIENT_SECRET_NAME", "SEAL_KEY_NAME", "FIRESTORE_DATABASE", "ALLOWED_ORIGINS", "RETURN_URLS", "SCOPES",
	"SESSION_TTL", "BEARER_TTL", "SESSION_COOKIE", "POPUP_FLOW", "LIST_DEADLINE",
	"FIRESTORE_EMULATOR_HOST", "SECRET_MANAGER_EMULATOR_HOST", "GMAIL_EMULATOR_HOST",
}

// readSettings reads the settings and checks what they say by themselves. It
// reports whether there is enough to go on with.
func (d *doctor) readSettings(ctx context.Context, fromEnv bool) bool {
	if fromEnv {
		d.variables = make(map[string]string)
		for _, name := range settings {
			d.variables[name] = d.getenv(name)
		}
	} else if !d.readFunctions(ctx) {
		return false
	}
	d.checkNames()
	config, err := gmailgrant.LoadConfig(d.deployed)
	if err != nil {
		for fault := range strings.Lines(err.Error()) {
			name, text, _ := strings.Cut(fault, ":")
			d.fail(name, "%s", text)
		}
		d.note("settings", "what else is wrong shows once these are corrected and deployed")
		return false
	}
	d.config = config
	d.site, err = site.New(config.BaseURL, config.AllowedOrigins, config.ReturnURLs)
	if err != nil {
		panic(err) // LoadConfig did the same
	}
	d.store = tokenstore.New(tokenstore.Config{
		Project:               d.owner(),
		ClientSecretName:      config.ClientSecretName,
		SealKeyName:           config.SealKeyName,
		Database:              config.Database,
		BaseURL:               d.site.BaseURL(),
		Now:                   d.now,
		HTTPClient:            d.http,
		FirestoreEmulator:     d.getenv("FIRESTORE_EMULATOR_HOST"),
		SecretManagerEmulator: d.getenv("SECRET_MANAGER_EMULATOR_HOST"),
	})
	d.group("settings", "complete and consistent", d.checkSettings)
	return true
}

// deployed is the environment of a function.
func (d *doctor) deployed(name string) string {
	if name == "K_SERVICE" {
		return "doctor" // without which BASE_URL has a default
	}
	return d.variables[name]
}

// owner is the project of secrets and database.
func (d *doctor) owner() string {
	if d.config.Project != "" {
		return d.config.Project
	}
	return d.project
}

// others are variables that are not ours but the platform's, or Go's.
var others = []string{"GODEBUG", "GOGC", "GOMAXPROCS", "GOMEMLIMIT", "LOG_EXECUTION_ID", "SSL_CERT_DIR", "SSL_CERT_FILE", "TZ"}

// checkNames finds misspelt settings, which otherwise have no effect at all.
func (d *doctor) checkNames() {
	for _, name := range slices.Sorted(maps.Keys(d.variables)) {
		platform := strings.HasPrefix(name, "GOOGLE_") || strings.HasPrefix(name, "FUNCTION_") || strings.HasPrefix(name, "K_")
		if !platform && !slices.Contains(settings, name) && !slices.Contains(others, name) {
			d.warn(name, "is set, and is no setting of these functions: is it misspelt?")
		}
	}
}

// checkSettings looks for settings that are well formed and yet wrong.
func (d *doctor) checkSettings() {
	for _, name := range []string{"FIRESTORE_EMULATOR_HOST", "SECRET_MANAGER_EMULATOR_HOST", "GMAIL_EMULATOR_HOST"} {
		if d.variables[name] != "" {
			d.fail(name, "is set: the functions use a stand-in, not Google; unset it where users come")
		}
	}
	if d.site.PlainLoopback() {
		d.fail("BASE_URL", "%s is reached from this machine only: set it to the public address of the functions", d.site.BaseURL())
	}
	if d.config.Project != "" && d.config.Project != d.project {
		d.warn("GOOGLE_CLOUD_PROJECT", "is %s: secrets and grants are there, not in %s", d.config.Project, d.project)
	}
	if d.timeout > 0 && d.config.ListDeadline+time.Second > d.timeout {
		d.warn("LIST_DEADLINE", "%s does not fit into the time-out of listmessages, %s: lists end a second before that", d.config.ListDeadline, d.timeout)
	}
	d.checkOrigins()
}

// checkOrigins says which way in each front end has.
func (d *doctor) checkOrigins() {
	switch {
	case len(d.config.AllowedOrigins) > 0:
	case d.site.CookieWay():
		d.ok("front end", "%s, which is the functions' own, and no other: ALLOWED_ORIGINS is empty", d.site.Origin("authurl"))
	default:
		d.warn("ALLOWED_ORIGINS", "is empty: the functions have hosts of their own, so that no front end at all can use them")
	}
	for _, origin := range d.config.AllowedOrigins {
		if u, err := url.Parse(origin); err == nil && site.IsLoopback(u.Hostname()) {
			d.warn("ALLOWED_ORIGINS", "%s is a developer's machine: whatever serves there can read the mail of a user who comes by; leave it out in production", origin)
		}
		if _, err := d.site.ReturnToCookie(origin + "/"); err == nil {
			d.ok("front end", "%s is on the site of the functions: cookie or hand-off", origin)
			continue
		}
		if !d.hasReturnURL(origin) {
			d.fail("RETURN_URLS", "%s is on another site than the functions and needs the hand-off, for which RETURN_URLS needs an entry of that origin", origin)
			continue
		}
		d.ok("front end", "%s is on another site than the functions: hand-off only", origin)
	}
}

func (d *doctor) hasReturnURL(origin string) bool {
	if len(d.config.ReturnURLs) == 0 {
		return true // the root of each origin
	}
	return slices.ContainsFunc(d.config.ReturnURLs, func(u string) bool { return site.OriginOf(u) == origin })
}

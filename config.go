package gmailgrant

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"example.com/gmailgrant/internal/endpoint"
	"example.com/gmailgrant/internal/site"
	"example.com/gmailgrant/tokenstore"
)

// Config holds the settings. [LoadConfig] reads them from the environment; the
// comment on each field names its variable and default.
type Config struct {
	// BASE_URL: public prefix of the functions, or with "{function}" the
	// pattern of their hosts. Needed when deployed; else http://localhost:$PORT.
	BaseURL string
	// GOOGLE_CLOUD_PROJECT: project ID. When deployed the metadata server knows it.
	Project string
	// CLIENT_SECRET_NAME, SEAL_KEY_NAME: secret IDs or full resource names.
	// gmailgrant-client, gmailgrant-seal-key.
	ClientSecretName, SealKeyName string
	// FIRESTORE_DATABASE: database ID. "(default)".
	Database string
	// ALLOWED_ORIGINS: origins of the front ends, comma-separated. None.
	AllowedOrigins []string
	// RETURN_URLS: where the hand-off may end, comma-separated. Each allowed
	// origin + "/".
	ReturnURLs []string
	// SCOPES: space-separated; openid is always among them.
	// openid email profile https://www.googleapis.com/auth/gmail.readonly
	Scopes []string
	// SESSION_TTL: of a session in the cookie. 12h.
	SessionTTL time.Duration
	// BEARER_TTL: of a Bearer session. 1h.
	BearerTTL time.Duration
	// SESSION_COOKIE: name of the cookie. __Host-gmailgrant, and gmailgrant on
	// plain-HTTP loopback.
	SessionCookie string
	// POPUP_FLOW: on or off. off.
	PopupFlow bool
	// LIST_DEADLINE: how long a listing may take. 20s.
	ListDeadline time.Duration
	// FIRESTORE_EMULATOR_HOST: host:port, as in Google's libraries. None.
	FirestoreEmulator string
	// SECRET_MANAGER_EMULATOR_HOST: host:port on loopback. None.
	SecretManagerEmulator string
	// GMAIL_EMULATOR_HOST: host:port on loopback. None.
	GmailEmulator string

	site *site.Site
}

const defaultCookie = "__Host-gmailgrant"

// LoadConfig reads the settings. Its error joins every fault, each naming its
// variable, and shows no value that could be a secret: one may have been put
// into any variable by mistake.
func LoadConfig(getenv func(string) string) (*Config, error) {
	e := &environment{getenv: getenv}
	c := &Config{
		BaseURL:               e.baseURL(),
		Project:               getenv("GOOGLE_CLOUD_PROJECT"),
		ClientSecretName:      e.secretName("CLIENT_SECRET_NAME", "gmailgrant-client"),
		SealKeyName:           e.secretName("SEAL_KEY_NAME", "gmailgrant-seal-key"),
		Database:              e.text("FIRESTORE_DATABASE", "(default)"),
		AllowedOrigins:        e.list("ALLOWED_ORIGINS"),
		ReturnURLs:            e.list("RETURN_URLS"),
		Scopes:                e.scopes(),
		SessionTTL:            e.duration("SESSION_TTL", 12*time.Hour),
		BearerTTL:             e.duration("BEARER_TTL", time.Hour),
		SessionCookie:         e.cookieName(),
		PopupFlow:             e.onOff("POPUP_FLOW"),
		ListDeadline:          e.duration("LIST_DEADLINE", 20*time.Second),
		FirestoreEmulator:     getenv("FIRESTORE_EMULATOR_HOST"),
		SecretManagerEmulator: e.loopback("SECRET_MANAGER_EMULATOR_HOST"),
		GmailEmulator:         e.loopback("GMAIL_EMULATOR_HOST"),
	}
	if c.Project == "" && !e.deployed() {
		e.fault("GOOGLE_CLOUD_PROJECT", errors.New("is needed outside Google Cloud"))
	}
	var err error
	if c.site, err = loadSite(getenv); err != nil {
		e.faults = append(e.faults, err)
		return nil, errors.Join(e.faults...)
	}
	if c.site.PlainLoopback() && securePrefixed(c.SessionCookie) {
		c.SessionCookie = "gmailgrant" // a browser keeps cookies of such names only when they are Secure
	}
	if len(e.faults) > 0 {
		return nil, errors.Join(e.faults...)
	}
	return c, nil
}

func securePrefixed(cookie string) bool {
	return strings.HasPrefix(cookie, "__Host-") || strings.HasPrefix(cookie, "__Secure-")
}

// loadSite reads the settings that make the public addresses. Its error joins
// every fault of theirs.
func loadSite(getenv func(string) string) (*site.Site, error) {
	e := &environment{getenv: getenv}
	return site.New(e.baseURL(), e.list("ALLOWED_ORIGINS"), e.list("RETURN_URLS"))
}

// environment reads variables and collects what is wrong with them.
type environment struct {
	getenv func(string) string
	faults []error
}

func (e *environment) fault(name string, err error) {
	e.faults = append(e.faults, fmt.Errorf("%s: %w", name, err))
}

// deployed reports whether this runs on Cloud Functions or Cloud Run.
func (e *environment) deployed() bool { return e.getenv("K_SERVICE") != "" }

func (e *environment) text(name, fallback string) string {
	if v := e.getenv(name); v != "" {
		return v
	}
	return fallback
}

func (e *environment) baseURL() string {
	if v := e.getenv("BASE_URL"); v != "" || e.deployed() {
		return v
	}
	return "http://localhost:" + e.text("PORT", "8080")
}

func (e *environment) list(name string) []string {
	var list []string
	for item := range strings.SplitSeq(e.getenv(name), ",") {
		if item = strings.TrimSpace(item); item != "" {
			list = append(list, item)
		}
	}
	return list
}

func (e *environment) duration(name string, fallback time.Duration) time.Duration {
	v := e.getenv(name)
	if v == "" {
		return fallback
	}
	d, err := time.ParseDuration(v)
	if err != nil || d <= 0 {
		e.fault(name, errors.New("is not a duration like 90s, 20m or 12h"))
	}
	return d
}

func (e *environment) onOff(name string) bool {
	v := e.text(name, "off")
	if v != "on" && v != "off" {
		e.fault(name, errors.New("is neither on nor off"))
	}
	return v == "on"
}

// secretName never shows the value: the secret itself may have been put there.
func (e *environment) secretName(name, fallback string) string {
	v := e.text(name, fallback)
	switch {
	case looksSecret(v):
		e.fault(name, errors.New("looks like the secret itself; it must be the secret's name in Secret Manager"))
	case !isSecretID(v) && !isSecretResource(v):
		e.fault(name, errors.New("is neither a secret ID nor projects/PROJECT/secrets/ID"))
	}
	return v
}

func isSecretID(v string) bool {
	return endpoint.ConsistsOf(v, 255, endpoint.Letters+endpoint.Digits+"_-")
}

func isSecretResource(v string) bool {
	path, ok := strings.CutPrefix(v, "projects/")
	project, id, found := strings.Cut(path, "/secrets/")
	return ok && found && isSecretID(id) && endpoint.ConsistsOf(project, len(path), projectCharacters)
}

// projectCharacters are those of project IDs, with the domain that old ones have.
const projectCharacters = "abcdefghijklmnopqrstuvwxyz" + endpoint.Digits + ".:-"

// looksSecret recognises Google's client secrets, a downloaded JSON file, and
// keys: 43 characters or more, mixed as random bytes in base64 are.
func looksSecret(v string) bool {
	if strings.HasPrefix(v, "GOCSPX-") || strings.Contains(v, "{") {
		return true
	}
	return len(v) >= 43 && !strings.HasPrefix(v, "projects/") &&
		strings.ToLower(v) != v && strings.ToUpper(v) != v && strings.ContainsAny(v, endpoint.Digits)
}

func (e *environment) scopes() []string {
	scopes := strings.Fields(e.text("SCOPES", "openid email profile https://www.googleapis.com/auth/gmail.readonly"))
	if !slices.Contains(scopes, "openid") {
		scopes = slices.Insert(scopes, 0, "openid")
	}
	if !tokenstore.CanList(scopes) {
		e.fault("SCOPES", errors.New("has no Gmail scope that can list messages, like https://www.googleapis.com/auth/gmail.readonly"))
	}
	if tokenstore.MixesMetadata(scopes) {
		e.fault("SCOPES", errors.New("has gmail.metadata beside a broader Gmail scope, and Gmail refuses a query to every token that holds it"))
	}
	return scopes
}

func (e *environment) cookieName() string {
	v := e.text("SESSION_COOKIE", defaultCookie)
	if !endpoint.ConsistsOf(v, 64, endpoint.Letters+endpoint.Digits+"_.-") || looksSecret(v) {
		e.fault("SESSION_COOKIE", errors.New("is not a cookie name"))
	}
	return v
}

func (e *environment) loopback(name string) string {
	v := e.getenv(name)
	if v == "" {
		return ""
	}
	host, _, err := net.SplitHostPort(v)
	if err != nil || !site.IsLoopback(host) {
		e.fault(name, errors.New("is not host:port on loopback"))
	}
	return v
}

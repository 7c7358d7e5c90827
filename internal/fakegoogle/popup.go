package fakegoogle

import (
	_ "embed"
	"html/template"
	"net/http"
	"net/url"
	"slices"
)

const (
	// codeClientPath is where Google serves its script too.
	codeClientPath = "/gsi/client"

	// relayScheme is that of what the script sends in place of a redirect URI. It
	// names the origin of the page: storagerelay://https/app.example.com?id=….
	relayScheme = "storagerelay"

	// redirectPostMessage is the redirect URI of a code that came by a popup, when
	// it is exchanged; the origin of the page is another:
	// https://developers.google.com/identity/oauth2/web/guides/use-code-model.
	redirectPostMessage = "postmessage"
)

//go:embed gsi.js
var codeClient []byte

//go:embed popup.html
var popupHTML string

var popupPage = template.Must(template.New("popup").Parse(popupHTML))

// serveCodeClient serves what stands in for the code client of Google Identity
// Services: google.accounts.oauth2.initCodeClient, in a popup.
func serveCodeClient(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/javascript; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	w.Write(codeClient)
}

// opener is the page that opened a popup and waits for the answer. The zero value
// stands for a request that is answered by a redirect.
type opener struct {
	origin string
	id     string // of its question
}

// openerOf reads what the script sends in place of a redirect URI.
func openerOf(redirectURI string) opener {
	u, err := url.Parse(redirectURI)
	if err != nil || u.Scheme != relayScheme || len(u.Path) < 2 {
		return opener{}
	}
	return opener{origin: u.Host + "://" + u.Path[1:], id: u.Query().Get("id")}
}

func (o opener) inPopup() bool { return o != opener{} }

// redirectURIs are those with which a code may be exchanged.
func (a authRequest) redirectURIs() []string {
	if a.opener.inPopup() {
		return []string{redirectPostMessage, a.opener.origin}
	}
	return []string{a.redirectURI}
}

// checkOpener wants the page on a registered JavaScript origin.
func (s *Server) checkOpener(o opener) *authRefusal {
	if !slices.Contains(s.client.origins, o.origin) {
		return refuseOnPage(http.StatusBadRequest, "origin_mismatch", "The origin of the page is not registered for this client.")
	}
	return nil
}

// answerOpener ends the popup: its page hands the answer to the page that opened
// it, and to no other origin.
func answerOpener(w http.ResponseWriter, o opener, answer url.Values) {
	members := make(map[string]string)
	for name := range answer {
		members[name] = answer.Get(name)
	}
	nonce := randomString(22)
	writePageHeaders(w)
	w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'nonce-"+nonce+"'; base-uri 'none'; frame-ancestors 'none'")
	popupPage.Execute(w, map[string]any{"Nonce": nonce, "Origin": o.origin, "ID": o.id, "Answer": members})
}

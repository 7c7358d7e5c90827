package endpoint

import (
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"net/http"
	"sync"
)

const pageStyle = `:root{color-scheme:light dark}body{font:1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:15vh auto 0;padding:0 1rem}`

// pageTemplate is the only HTML of the deployed functions. It is parsed when it is
// needed: most cold starts show no page.
var pageTemplate = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("page").Parse(pageText))
})

const pageText = `<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>{{.Title}}</title>
<style>` + pageStyle + `</style></head>
<body><main><h1>{{.Title}}</h1><p>{{.Sentence}}</p>{{with .Link}}<p><a href="{{.}}">Continue</a></p>{{end}}</main></body>
</html>
`

// pagePolicy allows the page its own style and nothing else.
var pagePolicy = func() string {
	hash := sha256.Sum256([]byte(pageStyle))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(hash[:]) + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}()

// WritePage writes a small plain page: a title, a sentence, and a link unless
// that is empty.
func WritePage(w http.ResponseWriter, status int, title, sentence, link string) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", pagePolicy)
	w.WriteHeader(status)
	_ = pageTemplate().Execute(w, struct{ Title, Sentence, Link string }{title, sentence, link}) // a client that left is no failure
}

func (e *Endpoint) writeFailurePage(w http.ResponseWriter, d document) {
	link := d.AuthorizationURL
	if e.Site != nil && e.Site.DefaultReturnURL() != "" {
		link = e.Site.DefaultReturnURL()
	}
	WritePage(w, d.Status, d.Title, d.Detail, link)
}

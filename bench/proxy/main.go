// Command proxy hands requests on to Gmail, with the token that they bring: the
// least that a server between a browser and Gmail can do.
package main

import (
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
)

func main() {
	gmail := &url.URL{Scheme: "https", Host: "gmail.googleapis.com"}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(gmail) }}
	log.Fatal(http.ListenAndServe(net.JoinHostPort("", os.Getenv("PORT")), proxy))
}

package gmailgrant

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"testing"

	"google.golang.org/grpc/codes"

	"example.com/gmailgrant/internal/fakegoogle"
)

// TestUpstreamStatus: the line says how Google failed, if it did, over HTTP and
// gRPC and inside a batch, and even if trying again helped.
func TestUpstreamStatus(t *testing.T) {
	list := func(b *browser) { b.get("") }
	details := func(b *browser) { b.get("format=minimal&maxResults=30") }
	who := func(b *browser) { b.fetch(http.MethodGet, "/callback") }
	expire := func(w *world) { w.google.ExpireAccessTokens(ben.Sub) }
	tests := []struct {
		name   string
		fault  fakegoogle.Fault
		change func(*world)
		do     func(*browser)
		want   map[string]any
	}{
		{"all is well", fakegoogle.Fault{Op: "none"}, nil, list, map[string]any{"status": 200.0, "upstream_status": nil, "severity": "INFO"}},
		{"Gmail throttles", fakegoogle.Fault{Op: "gmail.list", Status: 429}, nil, list, map[string]any{"status": 429.0, "upstream_status": "429", "reason": "rate_limited", "severity": "WARNING"}},
		{"it helped to try again", fakegoogle.Fault{Op: "gmail.list", Status: 503, Times: 1}, nil, list, map[string]any{"status": 200.0, "upstream_status": "503", "severity": "INFO", "upstream_calls": 2.0}},
		{"no answer", fakegoogle.Fault{Op: "gmail.list", Drop: true}, nil, list, map[string]any{"status": 503.0, "upstream_status": "no answer", "reason": "upstream_unavailable"}},
		{"inside a batch", fakegoogle.Fault{Op: "gmail.batch.part", Status: 429, After: 26}, nil, details, map[string]any{"status": 200.0, "upstream_status": "429", "incomplete": "rate_limited", "severity": "WARNING"}},
		{"refresh refused", fakegoogle.Fault{Op: "token.refresh", Status: 400, Body: `{"error":"invalid_grant"}`}, expire, list, map[string]any{"status": 401.0, "upstream_status": "400", "reason": "revoked"}},
		{"grant not readable", fakegoogle.Fault{Op: "firestore.get", Code: codes.PermissionDenied}, nil, who, map[string]any{"status": 500.0, "upstream_status": "PermissionDenied", "reason": "misconfigured", "severity": "ERROR"}},
		{"secret not readable", fakegoogle.Fault{Op: "secretmanager.access", Code: codes.PermissionDenied}, func(w *world) { w.restart(nil) }, who, map[string]any{"status": 500.0, "upstream_status": "PermissionDenied", "reason": "misconfigured"}},
		{"access token not written back", fakegoogle.Fault{Op: "firestore.write", Code: codes.DataLoss}, expire, list, map[string]any{"status": 200.0, "upstream_status": "DataLoss", "severity": "INFO"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w, b := signedIn(t, ben)
			b.get("").wantStatus(t, http.StatusOK)
			if tt.change != nil {
				tt.change(w)
			}
			defer w.google.Inject(tt.fault)()
			tt.do(b)
			lines := w.logLines(t)
			line := lines[len(lines)-1]
			for name, want := range tt.want {
				if line[name] != want {
					t.Errorf("%s is %v, want %v, in %v", name, line[name], want, line)
				}
			}
		})
	}
}

// TestClientLeft: that a call was given up then is no failure of Google's.
func TestClientLeft(t *testing.T) {
	w, b := signedIn(t, ben)
	ctx, leave := context.WithCancel(t.Context())
	w.google.Inject(fakegoogle.Fault{Op: "gmail.list", Hold: func(r *http.Request) {
		leave()
		<-r.Context().Done()
	}})
	req := b.request(http.MethodGet, "/listmessages", "", nil)
	if _, err := b.try(req.WithContext(ctx)); err == nil {
		t.Fatal("the client did not leave")
	}
	if line := w.lastLine(t); line["upstream_status"] != nil || line["error"] != "the client left" || line["severity"] != "INFO" {
		t.Errorf("%v", line)
	}
}

// TestOperatingGuide tells of every reason and every field of the log.
func TestOperatingGuide(t *testing.T) {
	guide, err := os.ReadFile("deploy/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	told := func(name string) bool { return bytes.Contains(guide, []byte("`"+name+"`")) }
	d, err := described()
	if err != nil {
		t.Fatal(err)
	}
	for _, reason := range d.Components.Schemas["Reason"].(map[string]any)["enum"].([]any) {
		if !told(reason.(string)) {
			t.Errorf("nothing about the reason %s", reason)
		}
	}
	w, b := signedIn(t, ben)
	defer w.google.Inject(fakegoogle.Fault{Op: "gmail.batch.part", Status: 429, After: 26})()
	b.get("format=minimal&maxResults=30").wantStatus(t, http.StatusOK)
	b.get("x=1").wantStatus(t, http.StatusBadRequest)
	fields := make(map[string]bool)
	for _, line := range w.logLines(t) {
		for name := range line {
			fields[name] = true
		}
	}
	if !fields["incomplete"] || !fields["reason"] {
		t.Errorf("fields %v", fields)
	}
	for name := range fields {
		if name != "time" && !told(name) {
			t.Errorf("nothing about the field %s", name)
		}
	}
}

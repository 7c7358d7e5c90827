package gmailgrant

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"example.com/gmailgrant/internal/endpoint"
	"example.com/gmailgrant/internal/fakegoogle"
)

// TestMessagesByID: these, in this order, without a list call or a cursor.
func TestMessagesByID(t *testing.T) {
	const n = 120
	in := newInbox(t, n)
	all := in.ids(n)
	backwards := slices.Clone(all)
	slices.Reverse(backwards)
	tests := []struct {
		name      string
		ids, want []string
		batches   int
	}{
		{"one", all[7:8], all[7:8], 1},
		{"out of order", []string{all[9], all[2], all[40]}, []string{all[9], all[2], all[40]}, 1},
		{"as many as may be", backwards[:100], backwards[:100], 4},
		{"one that never was", []string{all[3], "0", all[1]}, []string{all[3], all[1]}, 1},
		{"none that ever was", []string{"0", "1"}, nil, 1},
	}
	for _, tt := range tests {
		for _, shuffled := range []bool{false, true} {
			t.Run(fmt.Sprint(tt.name, shuffled), func(t *testing.T) {
				in.w.google.SetBatchShuffle(shuffled)
				in.w.google.ResetCalls()
				l := in.get(idQuery("minimal", tt.ids...)).list(t)
				wantSame(t, l.ids(), tt.want)
				if l.NextPageToken != "" || l.Incomplete != nil {
					t.Errorf("cursor %q, incomplete %+v", l.NextPageToken, l.Incomplete)
				}
				in.w.wantCalls(t, calls{"gmail.batch": tt.batches, "gmail.batch.part": len(tt.ids)})
			})
		}
	}
}

// TestRaw is for messages by ID only.
func TestRaw(t *testing.T) {
	in := newInbox(t, 10)
	all := in.ids(10)
	for _, m := range in.get(idQuery("raw", all[3], all[1])).details(t) {
		mail, err := base64.URLEncoding.DecodeString(m.Raw)
		if err != nil || !strings.Contains(string(mail), "\r\nSubject: ") || m.Payload != nil {
			t.Errorf("%s: %v, %.300s", m.ID, err, mail)
		}
	}
	in.get("format=raw").wantProblem(t, endpoint.InvalidRequest)
}

// TestRefusedDetails names the parameter at fault; nothing is sent.
func TestRefusedDetails(t *testing.T) {
	in := newInbox(t, 200)
	all := in.ids(200)
	one := "id=" + all[0]
	tests := []struct{ query, named string }{
		{one, "format"},
		{one + "&format=", "format"},
		{one + "&format=compact", "format"},
		{one + "&format=full&format=full", "format"},
		{one + "&format=Full", "format"},
		{idQuery("minimal", all[0], all[1], all[0]), "id"},
		{idQuery("minimal", all[:101]...), "id"},
		{"format=minimal&id=", "id"},
		{"format=minimal&id=../labels", "id"},
		{"format=minimal&id=a%2Fb", "id"},
		{"format=minimal&id=a%0D%0AGET%20/x", "id"},
		{"format=minimal&id=" + strings.Repeat("a", 65), "id"},
		{one + "&format=minimal&q=x", "q"},
		{one + "&format=minimal&labelIds=INBOX", "labelIds"},
		{one + "&format=minimal&includeSpamTrash=true", "includeSpamTrash"},
		{one + "&format=minimal&maxResults=1", "maxResults"},
		{one + "&format=minimal&pageToken=x", "pageToken"},
		{"format=raw", "raw"},
		{"format=metadata&metadataHeaders=", "metadataHeaders"},
		{"format=metadata&metadataHeaders=a%20b", "metadataHeaders"},
		{"format=metadata&metadataHeaders=Subject%0D%0A", "metadataHeaders"},
		{"format=metadata&metadataHeaders=a:b", "metadataHeaders"},
	}
	for _, tt := range tests {
		detail, _ := in.get(tt.query).wantProblem(t, endpoint.InvalidRequest)["detail"].(string)
		if !strings.Contains(detail, tt.named) {
			t.Errorf("%.80s: detail %q does not name %s", tt.query, detail, tt.named)
		}
	}
	in.w.wantCalls(t, calls{})
}

// metadataScope is refused a query and bodies by Gmail.
const metadataScope = "https://www.googleapis.com/auth/gmail.metadata"

// TestMetadataScope: what Gmail would refuse is refused before any call.
func TestMetadataScope(t *testing.T) {
	w := newWorld(t, 1, map[string]string{"SCOPES": "openid email " + metadataScope})
	in := w.openInbox(t, ada, 30)
	all := in.ids(30)
	for _, query := range []string{"q=lunch", "format=full", "q=lunch&format=metadata", idQuery("full", all[0]), idQuery("raw", all[0])} {
		in.get(query).wantProblem(t, endpoint.InvalidRequest)
	}
	w.wantCalls(t, calls{})
	for _, query := range []string{everything, everything + "&format=minimal", everything + "&format=metadata", idQuery("metadata", all...)} {
		wantSame(t, in.get(query).messages(t), all)
	}
}

// TestMetadataBesideReadonly: a grant that holds both, from another app of the
// project or an earlier setting, is refused the same.
func TestMetadataBesideReadonly(t *testing.T) {
	w := newWorld(t, 1, map[string]string{"SCOPES": "openid " + metadataScope})
	in := w.openInbox(t, ada, 30)
	in.get("").wantStatus(t, http.StatusOK)
	w.google.Inject(fakegoogle.Fault{Op: "token.code", Rewrite: func(b []byte) []byte {
		return []byte(strings.Replace(string(b), metadataScope, metadataScope+" "+readonly, 1))
	}})
	in.trySignIn("?prompt=consent", choice{account: ada.Sub})
	w.google.ResetCalls()
	in.get("q=lunch").wantProblem(t, endpoint.InvalidRequest)
	in.get("format=full").wantProblem(t, endpoint.InvalidRequest)
	w.wantCalls(t, calls{})
}

// TestEveryCharacterReachesGmail: q and metadataHeaders arrive as they were
// sent, whatever is in them.
func TestEveryCharacterReachesGmail(t *testing.T) {
	in := newInbox(t, 5)
	const special = `a"b'c\d/e?f#g&h=i;j%k+l:m{n}(o)<p>~^|$,@!*[] –é日🙂 GET /x HTTP/1.1`
	headers := []string{"X-!#$%&'*+.^_`|~", "Subject"}
	var q string
	var asked []string
	in.w.google.Inject(fakegoogle.Fault{
		Op: "gmail.list", Status: http.StatusOK, Body: `{"messages":[{"id":"0","threadId":"0"}]}`,
		Hold: func(r *http.Request) { q = r.URL.Query().Get("q") },
	})
	in.w.google.Inject(fakegoogle.Fault{
		Op:   "gmail.batch.part",
		Hold: func(r *http.Request) { asked = r.URL.Query()["metadataHeaders"] },
	})
	values := url.Values{"q": {special}, "format": {"metadata"}, "metadataHeaders": headers}
	in.get(values.Encode())
	if q != special {
		t.Errorf("q arrived as %q", q)
	}
	if !slices.Equal(asked, headers) {
		t.Errorf("metadataHeaders arrived as %q", asked)
	}
}

// TestOnlyNeededFields: what is asked of Gmail, beside the messages.
func TestOnlyNeededFields(t *testing.T) {
	in := newInbox(t, 5)
	asked := map[string]url.Values{}
	for _, op := range []string{"gmail.list", "gmail.batch.part"} {
		in.w.google.Inject(fakegoogle.Fault{Op: op, Times: 1, Hold: func(r *http.Request) { asked[op] = r.URL.Query() }})
	}
	in.get("format=minimal").messages(t)
	for op, query := range asked {
		if query.Get("fields") == "" || query.Get("prettyPrint") != "false" {
			t.Errorf("%s: %v", op, query)
		}
	}
	if list := asked["gmail.list"]; list.Has("q") || list.Get("fields") != "messages(id,threadId),nextPageToken,resultSizeEstimate" {
		t.Errorf("list asks for %v", list)
	}
}

package fakegoogle

import (
	"strings"
	"testing"
)

const batchType = "multipart/mixed; boundary=b"

// batchOf joins parts with the boundary b.
func batchOf(parts ...string) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString("--b\r\n" + p + "\r\n")
	}
	return b.String() + "--b--\r\n"
}

func httpPart(head, request string) string {
	return "Content-Type: application/http\r\n" + head + "\r\n" + request
}

func TestParseBatch(t *testing.T) {
	const get = "GET /gmail/v1/users/me/messages/1?format=minimal HTTP/1.1\r\nAccept: application/json\r\n\r\n"
	tests := []struct {
		name, contentType, body string
		want                    int // parts; 0: refused
	}{
		{"one", batchType, batchOf(httpPart("Content-ID: <x>\r\n", get)), 1},
		{"no version, no headers, no end of line", batchType, batchOf(httpPart("", "GET /gmail/v1/users/me/profile")), 1},
		{"most", batchType, batchOf(repeat(httpPart("", get), 100)...), 100},
		{"too many", batchType, batchOf(repeat(httpPart("", get), 101)...), 0},
		{"none", batchType, "--b--\r\n", 0},
		{"empty body", batchType, "", 0},
		{"other type", "multipart/form-data; boundary=b", batchOf(httpPart("", get)), 0},
		{"no boundary", "multipart/mixed", batchOf(httpPart("", get)), 0},
		{"cut short", batchType, "--b\r\n" + httpPart("", get), 0},
		{"part of another type", batchType, batchOf("Content-Type: text/plain\r\n\r\n" + get), 0},
		{"empty part", batchType, batchOf(httpPart("", "")), 0},
		{"absolute target", batchType, batchOf(httpPart("", "GET http://example.com/gmail/v1/users/me/profile HTTP/1.1\r\n\r\n")), 0},
		{"space in the target", batchType, batchOf(httpPart("", "GET /gmail/v1/users/me/messages?q=a b HTTP/1.1\r\n\r\n")), 0},
		{"malformed escape", batchType, batchOf(httpPart("", "GET /gmail/%zz HTTP/1.1\r\n\r\n")), 0},
		{"malformed header", batchType, batchOf(httpPart("", "GET / HTTP/1.1\r\nnonsense\r\n\r\n")), 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			parts, err := parseBatch(tt.contentType, strings.NewReader(tt.body))
			if (err == nil) != (tt.want > 0) || len(parts) != tt.want {
				t.Errorf("%d parts, %v; want %d", len(parts), err, tt.want)
			}
		})
	}
}

func repeat(part string, n int) []string {
	parts := make([]string, n)
	for i := range parts {
		parts[i] = part
	}
	return parts
}

// FuzzParseBatch checks that whatever is accepted can be served.
func FuzzParseBatch(f *testing.F) {
	f.Add(batchOf(httpPart("Content-ID: <1>\r\n", "GET /gmail/v1/users/me/profile HTTP/1.1\r\nAuthorization: Bearer x\r\n\r\n")))
	f.Add(batchOf(httpPart("", "GET /a"), httpPart("", "POST /b HTTP/1.1\r\n\r\nbody")))
	f.Add("--b\r\n\r\n--b--")
	s, err := Start(Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { s.Close() })
	f.Fuzz(func(t *testing.T, body string) {
		parts, err := parseBatch(batchType, strings.NewReader(body))
		if err != nil {
			return
		}
		if len(parts) == 0 || len(parts) > maxBatchParts {
			t.Fatalf("%d parts", len(parts))
		}
		for _, p := range parts {
			if a := s.answerPart(p.request, Fault{}, false); a.status < 200 || a.status > 599 {
				t.Errorf("status %d for %q", a.status, p.request.RequestURI)
			}
		}
	})
}

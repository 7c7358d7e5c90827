package listmessages

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"slices"
	"strconv"
	"strings"

	"example.com/gmailgrant/internal/endpoint"
)

// A cursor is where a listing goes on: at the page of Gmail's token, after a
// message of that page if one is named. It belongs to one user and query.
type cursor struct {
	pageToken string // Gmail's; empty: the first page
	after     string // ID of the last message delivered; empty: none of this page
	gone      string // ID of one that was gone, passed since; empty: none
}

// midPage reports whether the place is not the beginning of a page.
func (c cursor) midPage() bool { return c.after != "" || c.gone != "" }

const (
	maxCursor   = 2048 // bytes, encoded
	bindingSize = 16   // bytes of the hash that ties a cursor to user and query
)

var cursorEncoding = base64.RawURLEncoding.Strict()

// encode makes the opaque token for the client; the zero cursor, which is no
// place to go on at, gives none. It holds no secret and gives no right: who
// alters it can only ask Gmail for a page of his own mailbox.
func (c cursor) encode(user string, q Query) string {
	if c == (cursor{}) {
		return ""
	}
	b := binding(user, q)
	for _, id := range []string{c.after, c.gone} {
		b = binary.AppendUvarint(b, uint64(len(id)))
		b = append(b, id...)
	}
	b = append(b, c.pageToken...)
	return cursorEncoding.EncodeToString(b)
}

var errCursor = errors.New("not a cursor of this user and query")

// decodeCursor reads the cursor in q, which is the beginning if there is none.
func decodeCursor(user string, q Query) (cursor, error) {
	if q.PageToken == "" {
		return cursor{}, nil
	}
	c, err := parseCursor(q.PageToken, binding(user, q))
	if err != nil {
		return cursor{}, &endpoint.Problem{
			Reason: endpoint.InvalidRequest,
			Detail: "The pageToken does not belong to this user, q, labelIds and includeSpamTrash.",
			Err:    err,
		}
	}
	return c, nil
}

func parseCursor(token string, binding []byte) (cursor, error) {
	if len(token) > maxCursor || strings.ContainsAny(token, "\r\n") {
		return cursor{}, errCursor
	}
	b, err := cursorEncoding.DecodeString(token)
	if err != nil || len(b) < bindingSize || !bytes.Equal(b[:bindingSize], binding) {
		return cursor{}, errCursor
	}
	after, b, ok1 := cutID(b[bindingSize:])
	gone, b, ok2 := cutID(b)
	c := cursor{pageToken: string(b), after: after, gone: gone}
	if !ok1 || !ok2 || !printable(after+gone+c.pageToken) || c == (cursor{}) {
		return cursor{}, errCursor
	}
	return c, nil
}

// cutID reads an ID behind its length.
func cutID(b []byte) (id string, rest []byte, ok bool) {
	n, width := binary.Uvarint(b)
	if width <= 0 || n > uint64(len(b)-width) {
		return "", nil, false
	}
	b = b[width:]
	return string(b[:n]), b[n:], true
}

func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}

// binding is a hash of what a cursor belongs to. The order of labels does not
// matter to Gmail, so it does not here.
func binding(user string, q Query) []byte {
	labels := slices.Sorted(slices.Values(q.LabelIDs))
	h := sha256.New()
	for _, s := range append([]string{user, q.Q, strconv.FormatBool(q.IncludeSpamTrash)}, labels...) {
		h.Write(binary.AppendUvarint(nil, uint64(len(s))))
		h.Write([]byte(s))
	}
	return h.Sum(nil)[:bindingSize]
}

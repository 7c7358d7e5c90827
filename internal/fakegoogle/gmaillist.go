package fakegoogle

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"

	"google.golang.org/api/gmail/v1"
)

const (
	defaultMaxResults = 100
	largestPage       = 500

	// Above exactEstimate matches Gmail's resultSizeEstimate is little more than
	// "many"; 201 is the number seen most.
	exactEstimate = 100
	roughEstimate = 201
)

// listQuery is what a page token belongs to.
type listQuery struct {
	q        query
	labelIDs []string
	showAll  bool // includeSpamTrash, or the query speaks of spam or trash
	plain    bool // neither q nor labels: nothing needs to be generated
}

func listMessages(c *gmailCall) (any, *apiError) {
	limit, err := parseMaxResults(c.query)
	if err != nil {
		return nil, err
	}
	lq, err := c.parseListQuery()
	if err != nil {
		return nil, err
	}
	position := pagePosition{next: c.mailbox.size() - 1, estimate: -1}
	digest := c.queryDigest()
	if tok := c.query.Get("pageToken"); tok != "" {
		var ok bool
		if position, ok = parsePageToken(tok, digest); !ok {
			return nil, badRequest("Invalid page token")
		}
	}
	page, next := c.mailbox.page(lq, position, limit)
	answer := &gmail.ListMessagesResponse{
		Messages:           page,
		ResultSizeEstimate: int64(next.estimate),
		ForceSendFields:    []string{"ResultSizeEstimate"},
	}
	if next.next >= 0 {
		answer.NextPageToken = next.token(digest)
	}
	return answer, nil
}

func parseMaxResults(query url.Values) (int, *apiError) {
	if !query.Has("maxResults") {
		return defaultMaxResults, nil
	}
	n, err := strconv.ParseUint(query.Get("maxResults"), 10, 32)
	if err != nil || n == 0 {
		return 0, badRequest("Invalid value at 'max_results': %q", query.Get("maxResults"))
	}
	return int(min(n, largestPage)), nil
}

func (c *gmailCall) parseListQuery() (listQuery, *apiError) {
	if c.query.Has("q") && slices.Contains(c.scopes, scopeMetadata) {
		return listQuery{}, forbidden("Metadata scope does not support 'q' parameter")
	}
	q, err := parseQuery(c.query.Get("q"), c.mailbox.now())
	if err != nil {
		return listQuery{}, badRequest("%s", err)
	}
	lq := listQuery{q: q, labelIDs: c.query["labelIds"]}
	for _, id := range lq.labelIDs {
		if !isLabel(id) {
			return listQuery{}, badRequest("Invalid label: %s", id)
		}
	}
	include, err := parseBool(c.query.Get("includeSpamTrash"))
	if err != nil {
		return listQuery{}, badRequest("Invalid value at 'include_spam_trash': %q", c.query.Get("includeSpamTrash"))
	}
	lq.showAll = include || q.showsHidden || containsAny(lq.labelIDs, labelSpam, labelTrash)
	lq.plain = len(lq.labelIDs) == 0 && q.match == nil
	return lq, nil
}

func parseBool(s string) (bool, error) {
	if s == "" {
		return false, nil
	}
	return strconv.ParseBool(s)
}

func isLabel(id string) bool {
	_, user := userLabels[id]
	return user || slices.Contains(systemLabels, id)
}

// queryDigest identifies user, q, labelIds and includeSpamTrash.
func (c *gmailCall) queryDigest() []byte {
	b, err := json.Marshal([]any{c.mailbox.owner.Sub, c.query.Get("q"), c.query["labelIds"], c.query.Get("includeSpamTrash")})
	if err != nil {
		panic(err) // strings
	}
	sum := sha256.Sum256(b)
	return sum[:16]
}

// pagePosition is where a page begins: at the newest message not listed yet, so
// that messages arriving in between shift nothing.
type pagePosition struct {
	next     int // index; -1: the list is complete
	estimate int // as answered with the first page; -1: not known yet
}

func (p pagePosition) token(digest []byte) string {
	b := binary.BigEndian.AppendUint32(slices.Clone(digest), uint32(p.next))
	b = binary.BigEndian.AppendUint32(b, uint32(p.estimate))
	return base64.RawURLEncoding.EncodeToString(b)
}

func parsePageToken(tok string, digest []byte) (pagePosition, bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(tok)
	if err != nil || len(b) != len(digest)+8 || !slices.Equal(b[:len(digest)], digest) {
		return pagePosition{}, false
	}
	numbers := b[len(digest):]
	return pagePosition{
		next:     int(binary.BigEndian.Uint32(numbers)),
		estimate: int(binary.BigEndian.Uint32(numbers[4:])),
	}, true
}

// page lists up to limit messages, newest first. Only the first page counts on,
// for the estimate.
func (m *mailbox) page(lq listQuery, from pagePosition, limit int) ([]*gmail.Message, pagePosition) {
	var page []*gmail.Message
	next := pagePosition{next: -1, estimate: from.estimate}
	matches := 0
	for k := min(from.next, m.size()-1); k >= 0; k-- {
		if !m.matches(lq, k) {
			continue
		}
		matches++
		if matches <= limit {
			root, _ := m.thread(k)
			page = append(page, &gmail.Message{Id: m.id(k), ThreadId: m.id(root)})
			continue
		}
		next.next = max(next.next, k)
		if from.estimate >= 0 || matches >= exactEstimate {
			break
		}
	}
	if next.estimate < 0 {
		next.estimate = estimate(matches)
	}
	return page, next
}

func estimate(matches int) int {
	if matches >= exactEstimate {
		return roughEstimate
	}
	return matches
}

func (m *mailbox) matches(lq listQuery, k int) bool {
	if m.isDeleted(k) || (!lq.showAll && m.hidden(k)) {
		return false
	}
	if lq.plain {
		return true
	}
	msg := m.message(k)
	return containsAll(msg.labels, lq.labelIDs) && (lq.q.match == nil || lq.q.match(msg))
}

package fakegoogle

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"google.golang.org/api/gmail/v1"
)

// endpoint is a method of the Gmail API.
type endpoint struct {
	pattern string // of http.ServeMux
	op      string
	handler http.HandlerFunc
}

// gmailMethod answers a request of an authorised user.
type gmailMethod func(c *gmailCall) (any, *apiError)

// gmailCall is a request whose token and parameter names have been checked.
type gmailCall struct {
	mailbox *mailbox
	scopes  []string
	id      string // path parameter, if the method has one
	query   url.Values
}

// Scopes that a method accepts, any of them being enough:
// https://developers.google.com/workspace/gmail/api/reference/rest/v1/users.messages/list
// and the pages of the other methods.
var (
	readScopes    = []string{scopeMail, scopeModify, scopeReadonly, scopeMetadata}
	labelScopes   = append(slices.Clone(readScopes), scopeLabels)
	profileScopes = append(slices.Clone(readScopes), scopeCompose)
)

func (s *Server) gmailEndpoints() []endpoint {
	const user = "GET /gmail/v1/users/{user}"
	return []endpoint{
		{user + "/messages", opGmailList, s.gmailHandler(listMessages, gmail.ListMessagesResponse{}, readScopes, "q", "labelIds", "includeSpamTrash", "maxResults", "pageToken")},
		{user + "/messages/{id}", opGmailGet, s.gmailHandler(getMessage, gmail.Message{}, readScopes, "format", "metadataHeaders")},
		{user + "/labels", opGmailLabels, s.gmailHandler(listLabels, gmail.ListLabelsResponse{}, labelScopes)},
		{user + "/profile", opGmailProfile, s.gmailHandler(getProfile, gmail.Profile{}, profileScopes)},
	}
}

// systemParameters are understood by every method:
// https://cloud.google.com/apis/docs/system-parameters.
var systemParameters = []string{"alt", "fields", "prettyPrint", "key", "quotaUser"}

// gmailHandler checks token, user and parameters, and writes the answer in the
// shape of answerType as far as the fields parameter asks for it.
func (s *Server) gmailHandler(method gmailMethod, answerType any, scopes []string, parameters ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		call, mask, err := s.parseGmailCall(r, answerType, scopes, parameters)
		if err != nil {
			err.write(w)
			return
		}
		answer, err := method(call)
		if err != nil {
			err.write(w)
			return
		}
		writeGmail(w, answer, mask, call.query.Get("prettyPrint") != "false")
	}
}

func (s *Server) parseGmailCall(r *http.Request, answerType any, scopes, parameters []string) (*gmailCall, fieldMask, *apiError) {
	token, err := s.authorize(r)
	if err != nil {
		return nil, nil, err
	}
	if !containsAny(token.scopes, scopes...) {
		return nil, nil, scopeInsufficient()
	}
	account, _ := s.account(token.sub)
	if user := r.PathValue("user"); user != "me" && !strings.EqualFold(user, account.Email) {
		return nil, nil, forbidden("Delegation denied for " + account.Email)
	}
	query, err := parseParameters(r.URL.RawQuery, parameters)
	if err != nil {
		return nil, nil, err
	}
	mask, err := parseMaskFor(query.Get("fields"), answerType)
	if err != nil {
		return nil, nil, err
	}
	return &gmailCall{mailbox: s.mail[token.sub], scopes: token.scopes, id: r.PathValue("id"), query: query}, mask, nil
}

// authorize finds the access token (RFC 6750, section 2.1).
func (s *Server) authorize(r *http.Request) (token, *apiError) {
	scheme, value, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return token{}, unauthenticated()
	}
	s.leaks.add(value)
	t, ok := s.grants.bearer(value)
	if !ok {
		return token{}, unauthenticated()
	}
	return t, nil
}

func parseParameters(rawQuery string, known []string) (url.Values, *apiError) {
	query, err := url.ParseQuery(rawQuery)
	if err != nil {
		return nil, badRequest("Malformed query string.")
	}
	for name, values := range query {
		if !slices.Contains(known, name) && !slices.Contains(systemParameters, name) {
			return nil, badRequest("Invalid JSON payload received. Unknown name %q: Cannot bind query parameter. Field '%s' could not be found in request message.", name, name)
		}
		if len(values) > 1 && name != "labelIds" && name != "metadataHeaders" {
			return nil, badRequest("Proto field is not repeating, cannot start list: %s", name)
		}
	}
	if alt := query.Get("alt"); alt != "" && alt != "json" {
		return nil, badRequest("This stand-in answers alt=json only.")
	}
	return query, nil
}

func writeGmail(w http.ResponseWriter, answer any, mask fieldMask, pretty bool) {
	b, err := json.Marshal(answer)
	if err == nil && mask != nil {
		b, err = mask.apply(b)
	}
	if err == nil && pretty {
		b, err = indent(b)
	}
	if err != nil {
		newAPIError(http.StatusInternalServerError, err.Error()).write(w)
		return
	}
	w.Header().Set("Content-Type", jsonType)
	w.Header().Set("Cache-Control", "private")
	w.Write(b)
}

// messageID is the shape of Gmail's IDs.
var messageID = regexp.MustCompile(`^[0-9a-f]{1,16}$`)

func getMessage(c *gmailCall) (any, *apiError) {
	format := cmp.Or(c.query.Get("format"), "full")
	if !slices.Contains([]string{"minimal", "metadata", "full", "raw"}, format) {
		return nil, badRequest("Invalid value at 'format' (type.googleapis.com/google.apps.gmail.v1.MessageFormat), %q", format)
	}
	if (format == "full" || format == "raw") && slices.Contains(c.scopes, scopeMetadata) {
		return nil, forbidden("Metadata scope doesn't allow format " + strings.ToUpper(format))
	}
	if !messageID.MatchString(c.id) {
		return nil, badRequest("Invalid id value")
	}
	k, ok := c.mailbox.index(c.id)
	if !ok {
		return nil, newAPIError(http.StatusNotFound, "")
	}
	return c.mailbox.message(k).answer(format, c.query["metadataHeaders"]), nil
}

// answer is the message in one of the formats of
// https://developers.google.com/workspace/gmail/api/reference/rest/v1/Format.
func (msg *message) answer(format string, metadataHeaders []string) *gmail.Message {
	raw := msg.raw()
	out := &gmail.Message{
		Id:           msg.id,
		ThreadId:     msg.threadID,
		LabelIds:     msg.labels,
		Snippet:      msg.snippet(),
		SizeEstimate: int64(len(raw)),
		HistoryId:    uint64(msg.date.Unix()),
		InternalDate: msg.date.UnixMilli(),
	}
	switch format {
	case "raw":
		out.Raw = base64.URLEncoding.EncodeToString(raw)
	case "full":
		out.Payload = msg.content().payload(msg.id, "")
		out.Payload.Headers = append(gmailHeaders(msg.headers()), out.Payload.Headers...)
	case "metadata":
		content := msg.content()
		headers := append(msg.headers(), content.headers()...)
		out.Payload = &gmail.MessagePart{
			MimeType: content.mimeType,
			Headers:  gmailHeaders(selectHeaders(headers, metadataHeaders)),
		}
	}
	return out
}

// selectHeaders keeps the headers asked for, ignoring case; without any, all.
func selectHeaders(headers []header, names []string) []header {
	if len(names) == 0 {
		return headers
	}
	return slices.DeleteFunc(headers, func(h header) bool {
		return !slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(name, h.name) })
	})
}

func listLabels(*gmailCall) (any, *apiError) {
	answer := &gmail.ListLabelsResponse{}
	for _, id := range systemLabels {
		answer.Labels = append(answer.Labels, &gmail.Label{Id: id, Name: id, Type: "system"})
	}
	for _, id := range []string{labelReceipts, labelTravel, labelWork} {
		answer.Labels = append(answer.Labels, &gmail.Label{Id: id, Name: userLabels[id], Type: "user", LabelListVisibility: "labelShow", MessageListVisibility: "show"})
	}
	return answer, nil
}

func getProfile(c *gmailCall) (any, *apiError) {
	m := c.mailbox
	messages, threads := 0, make(map[int]struct{})
	for k := range m.size() {
		if m.isDeleted(k) {
			continue
		}
		root, _ := m.thread(k)
		messages++
		threads[root] = struct{}{}
	}
	return &gmail.Profile{
		EmailAddress:    m.owner.Email,
		MessagesTotal:   int64(messages),
		ThreadsTotal:    int64(len(threads)),
		HistoryId:       uint64(m.now().Unix()),
		ForceSendFields: []string{"MessagesTotal", "ThreadsTotal"},
	}, nil
}

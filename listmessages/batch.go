package listmessages

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"

	"example.com/gmailgrant/internal/endpoint"
)

// Gmail's batch endpoint: many gets in one request, each with an answer of its
// own. https://developers.google.com/workspace/gmail/api/guides/batch
const batchPath = "batch/gmail/v1"

// A result is what became of one message of a batch: its zero value says that
// the message is gone.
type result struct {
	message  []byte   // its JSON
	tooLarge bool     // for any answer
	failure  *failure // why nothing is known of it
}

// errTooLarge says that a message is longer than an answer may be.
var errTooLarge = errors.New("listmessages: message too large")

// messageFields is what a format consists of, and nothing else.
var messageFields = map[string]string{
	Minimal:  "id,threadId,labelIds,snippet,historyId,internalDate,sizeEstimate",
	Metadata: "id,threadId,labelIds,snippet,historyId,internalDate,sizeEstimate,payload(mimeType,headers)",
	Full:     "id,threadId,labelIds,snippet,historyId,internalDate,sizeEstimate,payload",
	Raw:      "id,threadId,labelIds,snippet,historyId,internalDate,sizeEstimate,raw",
}

var defaultHeaders = []string{"From", "To", "Subject", "Date"}

// getQuery is the query of each get in a batch.
func getQuery(q Query) string {
	values := url.Values{"format": {q.Format}, "fields": {messageFields[q.Format]}, "prettyPrint": {"false"}}
	if q.Format == Metadata {
		values["metadataHeaders"] = q.MetadataHeaders
		if len(q.MetadataHeaders) == 0 {
			values["metadataHeaders"] = defaultHeaders
		}
	}
	return values.Encode()
}

// batch gets messages in one request. The results are in the order of ids; one
// for which nothing arrived holds a failure. The error is that of the request as
// a whole.
func (d *details) batch(ctx context.Context, ids []string, authorization string) ([]result, error) {
	endpoint.RecordOf(ctx).QuotaUnits.Add(int64(getUnits * len(ids)))
	body, contentType, err := batchBody(ids, d.get)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.lister.batchURL, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", contentType)
	resp, err := d.lister.send(req, authorization)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return d.readBatch(resp, ids), nil
}

// batchBody writes a part for each ID. What a caller sent is escaped, in query by
// who made that, so that nothing of it can end a part or begin another.
func batchBody(ids []string, query string) (body []byte, contentType string, err error) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for i, id := range ids {
		part, err := w.CreatePart(textproto.MIMEHeader{
			"Content-Type": {"application/http"},
			"Content-Id":   {"<" + strconv.Itoa(i) + ">"},
		})
		if err != nil {
			return nil, "", err
		}
		fmt.Fprintf(part, "GET /gmail/v1/users/me/messages/%s?%s HTTP/1.1\r\n\r\n", url.PathEscape(id), query)
	}
	if err := w.Close(); err != nil {
		return nil, "", err
	}
	return b.Bytes(), "multipart/mixed; boundary=" + w.Boundary(), nil
}

// readBatch reads the parts of an answer, which may come in any order, until
// its end, or as far as it goes, or until there is more than an answer of ours
// can hold.
func (d *details) readBatch(resp *http.Response, ids []string) []result {
	results := make([]result, len(ids))
	for i := range results {
		results[i] = result{failure: &failure{reason: endpoint.UpstreamUnavailable, retry: true, cause: errCut}}
	}
	_, params, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil || params["boundary"] == "" {
		return results
	}
	reader := multipart.NewReader(resp.Body, params["boundary"])
	for kept := 0; kept <= d.maxMessage; {
		part, err := reader.NextRawPart()
		if err == io.EOF {
			return leftOut(results)
		}
		if err != nil {
			return results
		}
		i, ok := partIndex(part.Header.Get("Content-Id"), len(ids))
		if !ok || results[i].failure == nil {
			continue // an answer to nothing, or a second one
		}
		results[i] = d.readPart(part, ids[i])
		kept += len(results[i].message)
	}
	return results
}

// errCut says that a batch answer broke off.
var errCut = errors.New("the batch answer is cut")

// leftOut marks the messages of which an answer says nothing although it is
// whole.
func leftOut(results []result) []result {
	for i := range results {
		if f := results[i].failure; f != nil && f.cause == errCut {
			results[i] = malformed("a part of Gmail's batch answer is missing")
		}
	}
	return results
}

// partIndex reads which request a part answers: Content-ID <response-N> answers
// <N>.
func partIndex(contentID string, n int) (int, bool) {
	digits, ok := strings.CutPrefix(strings.TrimSuffix(strings.TrimPrefix(contentID, "<"), ">"), "response-")
	i, err := strconv.Atoi(digits)
	return i, ok && err == nil && i >= 0 && i < n
}

// readPart reads the HTTP answer in a part: the message, or why there is none.
func (d *details) readPart(part io.Reader, id string) result {
	resp, err := http.ReadResponse(bufio.NewReader(part), nil)
	if err != nil {
		return malformed("a part of Gmail's batch answer is malformed")
	}
	defer resp.Body.Close()
	if err := checkResponse(resp); gone(err) {
		return result{}
	} else if err != nil {
		f := d.lister.failed(err)
		f.part = true
		return result{failure: f}
	}
	message, err := readMessage(resp.Body, id, d.maxMessage)
	if errors.Is(err, errTooLarge) {
		return result{tooLarge: true}
	}
	if err != nil {
		return malformed(err.Error())
	}
	return result{message: message}
}

func malformed(cause string) result {
	return result{failure: &failure{reason: endpoint.UpstreamUnavailable, retry: true, part: true, cause: errors.New(cause)}}
}

// readMessage reads the JSON of the message with this ID, on one line.
func readMessage(body io.Reader, id string, limit int) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(body, int64(limit)+1))
	if err != nil {
		return nil, errors.New("a part of Gmail's batch answer is cut")
	}
	if len(data) > limit {
		return nil, errTooLarge
	}
	var line bytes.Buffer
	if err := json.Compact(&line, data); err != nil {
		return nil, errors.New("a part of Gmail's batch answer is no JSON")
	}
	var m stub
	if err := json.Unmarshal(line.Bytes(), &m); err != nil || m.ID != id {
		return nil, errors.New("a part of Gmail's batch answer holds another message")
	}
	return line.Bytes(), nil
}

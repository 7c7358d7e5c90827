package fakegoogle

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"html"
	"mime"
	"mime/quotedprintable"
	"strconv"
	"strings"

	"google.golang.org/api/gmail/v1"
)

// part is a node of a message's MIME tree (RFC 2046): either a body or parts.
type part struct {
	mimeType string
	filename string
	body     []byte
	parts    []part
	boundary string
}

// content is the MIME tree of the message.
func (msg *message) content() part {
	content := part{mimeType: "text/plain", body: []byte(msg.plainText())}
	if msg.html {
		content = msg.multipart("multipart/alternative", "a", content, part{mimeType: "text/html", body: []byte(msg.htmlText())})
	}
	if msg.attachment != "" {
		content = msg.multipart("multipart/mixed", "m", content, part{mimeType: pdfType, filename: msg.attachment, body: msg.pdf()})
	}
	return content
}

func (msg *message) multipart(mimeType, mark string, parts ...part) part {
	return part{mimeType: mimeType, parts: parts, boundary: "000000000000" + msg.id + mark}
}

func (msg *message) htmlText() string {
	var b strings.Builder
	b.WriteString("<html><body>")
	for _, p := range msg.paragraphs {
		b.WriteString("<p>" + html.EscapeString(p) + "</p>\r\n")
	}
	b.WriteString("</body></html>\r\n")
	return b.String()
}

// pdf is a file that begins and ends like one.
func (msg *message) pdf() []byte {
	return []byte("%PDF-1.4\n" + strings.Repeat("% "+msg.id+" "+msg.attachment+"\n", 24) + "%%EOF\n")
}

func (p part) contentType() string {
	params := make(map[string]string)
	switch {
	case p.boundary != "":
		params["boundary"] = p.boundary
	case p.filename != "":
		params["name"] = p.filename
	default:
		params["charset"] = "UTF-8"
	}
	return mime.FormatMediaType(p.mimeType, params)
}

func (p part) headers() []header {
	h := []header{{"Content-Type", p.contentType()}}
	switch {
	case p.filename != "":
		h = append(h,
			header{"Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": p.filename})},
			header{"Content-Transfer-Encoding", "base64"})
	case len(p.parts) == 0:
		h = append(h, header{"Content-Transfer-Encoding", "quoted-printable"})
	}
	return h
}

// raw is the message as RFC 5322 has it.
func (msg *message) raw() []byte {
	var b bytes.Buffer
	writeHeaders(&b, msg.headers())
	msg.content().write(&b)
	return b.Bytes()
}

func writeHeaders(b *bytes.Buffer, headers []header) {
	for _, h := range headers {
		fmt.Fprintf(b, "%s: %s\r\n", h.name, encodeHeader(h))
	}
}

// encodeHeader encodes what isn't ASCII (RFC 2047): in an address the name only.
func encodeHeader(h header) string {
	name, address, ok := strings.Cut(h.value, " <")
	if ok && (h.name == "From" || h.name == "To") {
		return mime.QEncoding.Encode("UTF-8", name) + " <" + address
	}
	return mime.QEncoding.Encode("UTF-8", h.value)
}

// write appends the part's own headers, an empty line and the content.
func (p part) write(b *bytes.Buffer) {
	writeHeaders(b, p.headers())
	b.WriteString("\r\n")
	switch {
	case len(p.parts) > 0:
		for _, inner := range p.parts {
			b.WriteString("--" + p.boundary + "\r\n")
			inner.write(b)
		}
		b.WriteString("--" + p.boundary + "--\r\n")
	case p.filename != "":
		writeBase64(b, p.body)
	default:
		w := quotedprintable.NewWriter(b)
		w.Write(p.body) // writing into a bytes.Buffer can't fail
		w.Close()
	}
}

// lineLength is that of base64 in mail (RFC 2045, section 6.8).
const lineLength = 76

func writeBase64(b *bytes.Buffer, body []byte) {
	text := base64.StdEncoding.EncodeToString(body)
	for len(text) > lineLength {
		b.WriteString(text[:lineLength] + "\r\n")
		text = text[lineLength:]
	}
	b.WriteString(text + "\r\n")
}

// payload is the tree as format=full answers it.
func (p part) payload(id, partID string) *gmail.MessagePart {
	out := &gmail.MessagePart{
		PartId:   partID,
		MimeType: p.mimeType,
		Filename: p.filename,
		Headers:  gmailHeaders(p.headers()),
		Body:     p.payloadBody(id, partID),
	}
	for i, inner := range p.parts {
		innerID := strconv.Itoa(i)
		if partID != "" {
			innerID = partID + "." + innerID
		}
		out.Parts = append(out.Parts, inner.payload(id, innerID))
	}
	return out
}

// payloadBody carries text; an attachment has to be fetched by its ID.
func (p part) payloadBody(id, partID string) *gmail.MessagePartBody {
	body := &gmail.MessagePartBody{Size: int64(len(p.body)), ForceSendFields: []string{"Size"}}
	switch {
	case p.filename != "":
		body.AttachmentId = "ANGjdJ" + base64.RawURLEncoding.EncodeToString([]byte(id+"/"+partID))
	case len(p.body) > 0:
		body.Data = base64.URLEncoding.EncodeToString(p.body)
	}
	return body
}

func gmailHeaders(headers []header) []*gmail.MessagePartHeader {
	out := make([]*gmail.MessagePartHeader, len(headers))
	for i, h := range headers {
		out[i] = &gmail.MessagePartHeader{Name: h.name, Value: h.value}
	}
	return out
}

package fakegoogle

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

const (
	snippetLength = 120
	pdfType       = "application/pdf"
)

// header is a header field of a message, its value decoded.
type header struct{ name, value string }

// message is one generated message. It belongs to who asked for it.
type message struct {
	id, threadID string
	date         time.Time
	labels       []string
	from, to     person
	subject      string
	paragraphs   []string
	html         bool
	attachment   string // file name; empty: none
	answering    string // ID of the message answered; empty: none
	listed       bool   // sent by a machine one can unsubscribe from
}

// message generates message k.
func (m *mailbox) message(k int) *message {
	root, depth := m.thread(k)
	kind, first, own := m.kind(root), m.dice(root), m.dice(k)
	other := pick(first, kind.senders)
	msg := &message{
		id:         m.id(k),
		threadID:   m.id(root),
		date:       time.UnixMilli(m.date(k)).UTC(),
		from:       other,
		to:         person{m.owner.Name, m.owner.Email},
		subject:    numbered(first, pick(first, kind.subjects)),
		html:       kind.html,
		listed:     kind.html,
		paragraphs: paragraphs(own, kind.sentences),
	}
	if n := m.padded(k); n > 0 {
		msg.paragraphs = append(msg.paragraphs, strings.Repeat("x", n))
	}
	if depth > 0 {
		parent, _ := m.answers(k)
		msg.subject = "Re: " + msg.subject
		msg.answering = m.id(parent)
	}
	if kind.attachment != "" && own.IntN(4) == 0 {
		msg.attachment = numbered(own, kind.attachment)
	}
	if depth > 0 && own.IntN(2) == 0 {
		msg.from, msg.to = msg.to, msg.from
		msg.labels = []string{labelSent}
		return msg
	}
	msg.labels = incomingLabels(own, kind)
	return msg
}

func incomingLabels(dice *rand.Rand, k *kind) []string {
	labels := slices.Clone(k.labels)
	if dice.IntN(5) < 2 {
		labels = append(labels, labelUnread)
	}
	if k.hidden {
		return labels
	}
	if dice.IntN(3) > 0 {
		labels = append(labels, labelInbox)
	}
	if k.conversation && dice.IntN(2) == 0 {
		labels = append(labels, labelImportant)
	}
	if dice.IntN(20) == 0 {
		labels = append(labels, labelStarred)
	}
	if k.userLabel != "" && dice.IntN(4) == 0 {
		labels = append(labels, k.userLabel)
	}
	return labels
}

func pick[T any](dice *rand.Rand, of []T) T { return of[dice.IntN(len(of))] }

// numbered replaces a %d.
func numbered(dice *rand.Rand, text string) string {
	if !strings.Contains(text, "%d") {
		return text
	}
	return fmt.Sprintf(text, 2+dice.IntN(9000))
}

func paragraphs(dice *rand.Rand, sentences []string) []string {
	out := make([]string, 1+dice.IntN(3))
	for i := range out {
		var text []string
		for range 2 + dice.IntN(3) {
			text = append(text, numbered(dice, pick(dice, sentences)))
		}
		out[i] = strings.Join(text, " ")
	}
	return out
}

// snippet is the beginning of the text, as Gmail shows it in lists.
func (msg *message) snippet() string {
	text := strings.Join(msg.paragraphs, " ")
	if len(text) <= snippetLength {
		return text
	}
	return strings.TrimSpace(text[:strings.LastIndexByte(text[:snippetLength], ' ')])
}

// plainText is the body as text/plain.
func (msg *message) plainText() string {
	return strings.Join(msg.paragraphs, "\r\n\r\n") + "\r\n\r\n-- \r\n" + msg.from.name + "\r\n"
}

func (msg *message) has(label string) bool { return slices.Contains(msg.labels, label) }

func (msg *message) messageID(id string) string { return "<" + id + "@mail.example>" }

// headers are those of the message itself; the content's belong to its part.
func (msg *message) headers() []header {
	h := []header{
		{"Delivered-To", msg.to.email},
		{"Return-Path", "<" + msg.from.email + ">"},
		{"Message-ID", msg.messageID(msg.id)},
		{"Date", msg.date.Format(time.RFC1123Z)},
		{"From", msg.from.String()},
		{"To", msg.to.String()},
		{"Subject", msg.subject},
		{"MIME-Version", "1.0"},
	}
	if msg.answering != "" {
		h = append(h, header{"In-Reply-To", msg.messageID(msg.answering)}, header{"References", msg.messageID(msg.answering)})
	}
	if msg.listed {
		h = append(h, header{"List-Unsubscribe", "<mailto:" + msg.from.email + "?subject=unsubscribe>"})
	}
	return h
}

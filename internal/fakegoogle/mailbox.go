package fakegoogle

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"
)

const (
	mailboxSpan = 730 * 24 * time.Hour // the seeded messages spread over this
	newestAge   = 90 * time.Second     // how old the newest seeded message is at most, at the start

	// maxThreadGap bounds how many messages lie between an answer and what it answers.
	maxThreadGap = 4
)

// mailbox holds a user's messages without storing any: message k, counted from
// the oldest, is a function of the seed and k, generated when asked for.
type mailbox struct {
	owner Account
	seed  uint64
	now   func() time.Time

	mu       sync.RWMutex
	segments []segment        // oldest first, their dates don't overlap
	deleted  map[int]struct{} // by index
	padding  map[int]int      // bytes of text added, by index
}

// segment is a run of messages at a steady pace.
type segment struct {
	first, count int
	newest       int64 // ms of the last message at the latest
	step         int64 // ms between two messages, on average
}

func newMailbox(owner Account, now func() time.Time) *mailbox {
	h := fnv.New64a()
	h.Write([]byte(owner.Sub))
	m := &mailbox{owner: owner, seed: h.Sum64(), now: now}
	m.reset(owner.Messages)
	return m
}

// reset makes the mailbox hold n messages, spread over mailboxSpan.
func (m *mailbox) reset(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.segments, m.deleted, m.padding = nil, make(map[int]struct{}), make(map[int]int)
	if n <= 0 {
		return
	}
	m.segments = []segment{{
		count:  n,
		newest: m.now().Add(-newestAge / 2).UnixMilli(),
		step:   max(1, mailboxSpan.Milliseconds()/int64(n)),
	}}
}

// add makes n messages arrive between the newest one and now. They are a
// millisecond apart at least, so a great many of them reach into the future.
func (m *mailbox) add(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n <= 0 {
		return
	}
	now := m.now().UnixMilli()
	total, last := m.sizeLocked(), now-newestAge.Milliseconds()
	if len(m.segments) > 0 {
		last = m.segments[len(m.segments)-1].newest
	}
	step := max(1, (now-last)/int64(n+1))
	m.segments = append(m.segments, segment{first: total, count: n, newest: last + int64(n)*step, step: step})
}

// size counts the messages ever put in, deleted ones too: indices lie below it.
func (m *mailbox) size() int {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.sizeLocked()
}

func (m *mailbox) sizeLocked() int {
	if len(m.segments) == 0 {
		return 0
	}
	last := m.segments[len(m.segments)-1]
	return last.first + last.count
}

func (m *mailbox) remove(k int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.deleted[k] = struct{}{}
}

func (m *mailbox) pad(k, n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.padding[k] = n
}

func (m *mailbox) padded(k int) int {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.padding[k]
}

func (m *mailbox) isDeleted(k int) bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	_, gone := m.deleted[k]
	return gone
}

// date is the internal date of message k in ms; a newer message has a larger one.
func (m *mailbox) date(k int) int64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for i := len(m.segments) - 1; i >= 0; i-- {
		if s := m.segments[i]; k >= s.first {
			return s.newest - int64(s.first+s.count-1-k)*s.step - m.jitter(s, k)
		}
	}
	return 0
}

// jitter is less than a step, and little for the newest message.
func (m *mailbox) jitter(s segment, k int) int64 {
	limit := s.step
	if k == s.first+s.count-1 {
		limit = min(limit, newestAge.Milliseconds()/2)
	}
	return int64(m.hash("date", k) % uint64(limit))
}

// idBits is how many low bits of a message ID are noise; the others are the date.
const idBits = 20

// id is 16 hexadecimal digits, like Gmail's: the time, then noise.
func (m *mailbox) id(k int) string {
	return fmt.Sprintf("%016x", m.numericID(k))
}

func (m *mailbox) numericID(k int) uint64 {
	return uint64(m.date(k))<<idBits | m.hash("id", k)&(1<<idBits-1)
}

// index finds the message with that ID by its date.
func (m *mailbox) index(id string) (k int, ok bool) {
	n, err := strconv.ParseUint(id, 16, 64)
	if err != nil {
		return 0, false
	}
	k, ok = m.indexAt(int64(n >> idBits))
	if !ok || m.numericID(k) != n || m.isDeleted(k) {
		return 0, false
	}
	return k, true
}

// indexAt is the only message that may bear that date.
func (m *mailbox) indexAt(ms int64) (k int, ok bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, s := range m.segments {
		if ms > s.newest {
			continue
		}
		k = s.first + s.count - 1 - int((s.newest-ms)/s.step)
		return k, k >= s.first
	}
	return 0, false
}

// hash is noise that depends on the owner, the message and the purpose.
func (m *mailbox) hash(purpose string, k int) uint64 {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:8], m.seed)
	binary.LittleEndian.PutUint64(b[8:], uint64(k))
	h := fnv.New64a()
	h.Write([]byte(purpose))
	h.Write(b[:])
	x := h.Sum64()
	return (x ^ x>>29) * 0xbf58476d1ce4e5b9 >> 11
}

// dice is the source of everything by chance in message k.
func (m *mailbox) dice(k int) *rand.Rand {
	return rand.New(rand.NewPCG(m.seed, uint64(k)))
}

// kind is what sort of message k is, were it not an answer.
func (m *mailbox) kind(k int) *kind {
	share := int(m.hash("kind", k) % totalShares)
	for i := range kinds {
		if share -= kinds[i].share; share < 0 {
			return &kinds[i]
		}
	}
	return &kinds[0]
}

// answers says which message k answers, if any.
func (m *mailbox) answers(k int) (parent int, ok bool) {
	h := m.hash("thread", k)
	parent = k - 1 - int(h>>8%maxThreadGap)
	return parent, h%3 == 0 && parent >= 0
}

// thread is the first message of the thread of k, and how many answers lie
// between the two. Only conversations are answered.
func (m *mailbox) thread(k int) (root, depth int) {
	root = k
	for {
		parent, ok := m.answers(root)
		if !ok {
			break
		}
		root = parent
		depth++
	}
	if !m.kind(root).conversation {
		return k, 0
	}
	return root, depth
}

// hidden says whether a list leaves the message out unless asked for it.
func (m *mailbox) hidden(k int) bool {
	root, _ := m.thread(k)
	return m.kind(root).hidden
}

// AddMessages lets n new messages arrive in the user's mailbox.
func (s *Server) AddMessages(sub string, n int) {
	if m := s.mail[sub]; m != nil {
		m.add(n)
	}
}

// SetMessages replaces the user's mail by n seeded messages.
func (s *Server) SetMessages(sub string, n int) {
	if m := s.mail[sub]; m != nil {
		m.reset(n)
	}
}

// DeleteMessage removes a message for good. One that doesn't exist is ignored.
func (s *Server) DeleteMessage(sub, id string) {
	m := s.mail[sub]
	if m == nil {
		return
	}
	if k, ok := m.index(id); ok {
		m.remove(k)
	}
}

// PadMessage makes the text of a message longer by n bytes. One that doesn't
// exist is ignored.
func (s *Server) PadMessage(sub, id string, n int) {
	m := s.mail[sub]
	if m == nil {
		return
	}
	if k, ok := m.index(id); ok {
		m.pad(k, n)
	}
}

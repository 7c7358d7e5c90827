package fakegoogle

import (
	"slices"
	"sync"
)

// secretLog remembers every secret that passed, for tests that look for leaks.
type secretLog struct {
	mu     sync.Mutex
	values map[string]struct{}
}

// shortestSecret keeps garbage like "x", sent to provoke a refusal, out of the
// log: it would be found in any text.
const shortestSecret = 8

func (l *secretLog) add(values ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.values == nil {
		l.values = make(map[string]struct{})
	}
	for _, v := range values {
		if len(v) >= shortestSecret {
			l.values[v] = struct{}{}
		}
	}
}

// Handed returns, sorted, every secret handed out or received so far: client
// secrets, authorization codes, access, refresh and ID tokens, PKCE verifiers,
// payloads of secret versions. Values shorter than eight bytes are left out.
func (s *Server) Handed() []string {
	s.leaks.mu.Lock()
	defer s.leaks.mu.Unlock()
	out := make([]string, 0, len(s.leaks.values))
	for v := range s.leaks.values {
		out = append(out, v)
	}
	slices.Sort(out)
	return out
}

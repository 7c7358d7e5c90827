package tokenstore

import (
	"sync"
	"time"
)

const (
	// cacheFor is how long a grant is used without reading it again, and so
	// how long an old session may outlive a disconnect on another instance.
	cacheFor = 60 * time.Second
	// maxCached bounds the memory that grants take in an instance.
	maxCached = 4096
)

// A grantCache holds the grants read lately, never an absence. Its zero value
// is ready.
type grantCache struct {
	mu     sync.Mutex
	grants map[string]*Grant
}

func (c *grantCache) get(user string, now time.Time) *Grant {
	c.mu.Lock()
	defer c.mu.Unlock()
	g := c.grants[user]
	if g == nil || now.Sub(g.readAt) >= cacheFor {
		return nil
	}
	return g
}

func (c *grantCache) put(g *Grant) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.grants == nil {
		c.grants = make(map[string]*Grant)
	}
	known, ok := c.grants[g.User]
	if ok && known.readAt.After(g.readAt) {
		return // a reading that came in late
	}
	if !ok && len(c.grants) >= maxCached {
		for user := range c.grants { // any one: all will be gone within a minute
			delete(c.grants, user)
			break
		}
	}
	c.grants[g.User] = g
}

func (c *grantCache) drop(user string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.grants, user)
}

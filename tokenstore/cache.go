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
	mu       sync.Mutex
	grants   map[string]*Grant
	readings uint64
}

// reading numbers a reading of Firestore that begins now: what it brings is
// newer than what is remembered of readings with lower numbers.
func (c *grantCache) reading() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.readings++
	return c.readings
}

func (c *grantCache) get(user string, now time.Time) *Grant {
	c.mu.Lock()
	defer c.mu.Unlock()
	g := c.grants[user]
	if g == nil || g.ID == "" || now.Sub(g.readAt) >= cacheFor {
		return nil
	}
	return g
}

// put remembers a grant, unless its reading began before what is remembered, or
// forgotten, of the user.
func (c *grantCache) put(g *Grant) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if known := c.grants[g.User]; known != nil && known.reading > g.reading {
		return
	}
	c.keep(g)
}

// renew remembers what a refresh made of a grant, which is newer than all readings
// that have begun. But if the user's grant was forgotten or replaced after the
// refresh began, it stays so.
func (c *grantCache) renew(g *Grant) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if known := c.grants[g.User]; known != nil && known.reading > g.reading && known.ID != g.ID {
		return
	}
	c.readings++
	g.reading = c.readings
	c.keep(g)
}

func (c *grantCache) keep(g *Grant) {
	if c.grants == nil {
		c.grants = make(map[string]*Grant)
	}
	if _, known := c.grants[g.User]; !known && len(c.grants) >= maxCached {
		for user := range c.grants { // any one: it will be read again
			delete(c.grants, user)
			break
		}
	}
	c.grants[g.User] = g
}

// drop forgets a user's grant, and what readings under way will bring of it.
func (c *grantCache) drop(user string) {
	c.put(&Grant{User: user, reading: c.reading()})
}

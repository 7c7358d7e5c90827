package gmailgrant

import (
	"context"
	"io"
	"net/http"
	"sync"
	"time"
)

// prepareTimeout bounds what is begun before the first request.
const prepareTimeout = 10 * time.Second

// prepare begins, while the server comes up, what the first request of a function
// has to wait for: the secrets, and connections to where it goes next. A request
// that comes meanwhile waits for the same trips. What fails is not remembered: the
// request tries it again and tells of it.
func (a *app) prepare(ctx context.Context, name string) {
	if a.store == nil {
		return // the settings are at fault
	}
	ctx, cancel := context.WithTimeout(ctx, prepareTimeout)
	defer cancel()
	var work sync.WaitGroup
	defer work.Wait()
	work.Go(func() { _ = a.store.Ring().Load(ctx) })
	if name == "authurl" {
		_, _ = a.store.Client(ctx)
		return
	}
	work.Go(func() { a.prepareGrants(ctx) })
	if name == "listmessages" {
		work.Go(func() { a.connect(ctx, a.lister.Gmail.BasePath) })
	}
}

// nobody is a document that never exists: user IDs are numbers.
const nobody = "nobody"

// prepareGrants reads a grant, since a Firestore client opens no connection before
// its first call, and connects to where one is refreshed or exchanged.
func (a *app) prepareGrants(ctx context.Context) {
	var work sync.WaitGroup
	defer work.Wait()
	work.Go(func() { _, _ = a.store.Grant(ctx, nobody) })
	if client, err := a.store.Client(ctx); err == nil {
		a.connect(ctx, client.TokenURL())
	}
}

// connect opens a connection to a host, by a request that any server answers.
func (a *app) connect(ctx context.Context, url string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, url, nil)
	if err != nil {
		return
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
}

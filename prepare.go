package gmailgrant

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"example.com/gmailgrant/internal/flight"
)

// headStart lets the server listen first: on one CPU, connecting would hold up what
// can be answered at once.
const headStart = 4 * time.Millisecond

func (p *process) prepare(name string) {
	a := p.app()
	time.Sleep(headStart)
	a.prepare(context.Background(), name)
}

// prepareTimeout bounds what is begun before the first request.
const prepareTimeout = 10 * time.Second

// prepare begins, while the server comes up, what the first request of a function
// has to wait for: the secrets, and connections to where it goes next. A request
// that comes meanwhile waits for the same trips. What fails is not remembered, nor
// told of but for a panic: the request does it again.
func (a *app) prepare(ctx context.Context, name string) {
	if a.store == nil {
		return // the settings are at fault
	}
	ctx, cancel := context.WithTimeout(ctx, prepareTimeout)
	defer cancel()
	begin := []func(context.Context) error{a.store.Ring().Load}
	switch name {
	case "authurl":
		begin = append(begin, a.prepareClient)
	case "listmessages":
		begin = append(begin, a.prepareGrants, a.connectOAuth, a.connectGmail)
	default:
		begin = append(begin, a.prepareGrants, a.connectOAuth)
	}
	var work sync.WaitGroup
	for _, do := range begin {
		work.Go(func() {
			err := flight.Catch(func() error { return do(ctx) })
			if _, ok := errors.AsType[*flight.Panic](err); ok {
				flight.Warn(a.log, "prepare", err)
			}
		})
	}
	work.Wait()
}

// nobody is a document that never exists: user IDs are numbers.
const nobody = "nobody"

// prepareGrants reads a grant, since a Firestore client opens no connection before
// its first call.
func (a *app) prepareGrants(ctx context.Context) error {
	_, err := a.store.Grant(ctx, nobody)
	return err
}

func (a *app) prepareClient(ctx context.Context) error {
	_, err := a.store.Client(ctx)
	return err
}

// connectOAuth connects to where codes are exchanged and grants refreshed.
func (a *app) connectOAuth(ctx context.Context) error {
	client, err := a.store.Client(ctx)
	if err != nil {
		return err
	}
	return a.connect(ctx, client.TokenURL())
}

func (a *app) connectGmail(ctx context.Context) error {
	return a.connect(ctx, a.lister.Gmail.BasePath)
}

// connect opens a connection to a host, by a request that any server answers.
func (a *app) connect(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, url, nil)
	if err != nil {
		return err
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

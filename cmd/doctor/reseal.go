package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/api/secretmanager/v1"

	"example.com/gmailgrant/authurl"
	"example.com/gmailgrant/tokenstore"
)

const (
	// resealing is how many grants are sealed at once.
	resealing = 16
	// progress is after how many grants there is a line.
	progress = 1000
	// resealTimeout bounds the way through all of them.
	resealTimeout = 2 * time.Hour
	// keyRefresh is after how long every instance knows a new version of the seal
	// key, and seals with it.
	keyRefresh = 10 * time.Minute
)

// reseal seals every grant with the newest key, and says when the older ones may
// go.
func (d *doctor) reseal(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, resealTimeout)
	defer cancel()
	var all, older, unreadable, failures atomic.Int64
	var listErr error
	var work errgroup.Group
	work.SetLimit(resealing)
	for user, err := range d.store.Users(ctx) {
		if listErr = err; err != nil {
			break
		}
		if n := all.Add(1); n%progress == 0 {
			d.note("reseal", "%d grants so far", n)
		}
		work.Go(func() error {
			was, err := d.store.Reseal(ctx, user)
			switch {
			case errors.Is(err, tokenstore.ErrNotConnected):
				unreadable.Add(1)
				return nil
			case err != nil:
				failures.Add(1)
			case was:
				older.Add(1)
			}
			return err
		})
	}
	firstErr := work.Wait()
	switch {
	case listErr != nil:
		d.fail("reseal", "the grants can't be listed: %v. Does your account have roles/datastore.user? Disable no version before this succeeds", listErr)
	case firstErr != nil:
		d.fail("reseal", "%d of %d grants could not be sealed again, one because of %v. Run it again, and disable no version before it succeeds", failures.Load(), all.Load(), firstErr)
	case unreadable.Load() > 0:
		d.warn("reseal", "%d of %d grants don't open, and %d were sealed with an older key: if a version of the seal key was disabled, enable it and run this again before destroying any; the users whose grants still don't open have to connect again",
			unreadable.Load(), all.Load(), older.Load())
		d.retire(ctx)
	default:
		d.ok("reseal", "%d grants, of which %d were sealed with an older key", all.Load(), older.Load())
		d.retire(ctx)
	}
}

// retire says which versions of the seal key are needed no more, and when.
func (d *doctor) retire(ctx context.Context) {
	versions, err := d.sealKeyVersions(ctx)
	if err != nil {
		d.warn("seal key", "its versions can't be listed: %s", cause(err, "correct SEAL_KEY_NAME"))
		return
	}
	newest := slices.MaxFunc(versions, func(a, b version) int { return a.number - b.number })
	var old []string
	for _, v := range versions {
		if v.number < newest.number {
			old = append(old, strconv.Itoa(v.number))
		}
	}
	known := newest.created.Add(keyRefresh)
	ended := known.Add(max(d.config.SessionTTL, d.config.BearerTTL, authurl.StateTTL))
	which := strings.Join(old, ", ")
	switch now := d.now(); {
	case len(old) == 0:
		d.ok("seal key", "version %d is the only one enabled", newest.number)
	case now.Before(known):
		d.warn("seal key", "version %d is new, and instances may still seal with an older one: run this again after %s", newest.number, inUTC(known))
	case now.Before(ended):
		d.note("seal key", "disable version %s after %s: until then sessions are sealed with it, whose users would have to sign in again", which, inUTC(ended))
	default:
		d.ok("seal key", "nothing needs version %s any more: gcloud secrets versions disable VERSION --secret=%s --project=%s", which, d.config.SealKeyName, d.owner())
	}
}

func inUTC(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// A version of the seal key that is enabled.
type version struct {
	number  int
	created time.Time
}

func (d *doctor) sealKeyVersions(ctx context.Context) ([]version, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	service, err := secretmanager.NewService(ctx, d.api()...)
	if err != nil {
		return nil, err
	}
	parent := d.config.SealKeyName
	if !strings.Contains(parent, "/") {
		parent = fmt.Sprintf("projects/%s/secrets/%s", d.owner(), parent)
	}
	var versions []version
	err = service.Projects.Secrets.Versions.List(parent).Filter("state:ENABLED").Pages(ctx, func(page *secretmanager.ListSecretVersionsResponse) error {
		for _, v := range page.Versions {
			if v.State != "ENABLED" {
				continue
			}
			number, err1 := strconv.Atoi(v.Name[strings.LastIndex(v.Name, "/")+1:])
			created, err2 := time.Parse(time.RFC3339, v.CreateTime)
			if err := errors.Join(err1, err2); err != nil {
				return err
			}
			versions = append(versions, version{number, created})
		}
		return nil
	})
	if err == nil && len(versions) == 0 {
		err = errors.New("none is enabled")
	}
	return versions, err
}

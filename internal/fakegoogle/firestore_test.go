package fakegoogle_test

import (
	"context"
	"fmt"
	"os"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/firestore"
	"example.com/gmailgrant/internal/fakegoogle"
	"google.golang.org/api/option"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// firestoreClient connects to the stand-in, or to Google's emulator in the way
// the library knows, which makes the caller its administrator.
func firestoreClient(t testing.TB, standIn, emulator string) (context.Context, *firestore.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	t.Setenv("FIRESTORE_EMULATOR_HOST", emulator)
	var options []option.ClientOption
	if emulator == "" {
		options = dialOptions(standIn)
	}
	c, err := firestore.NewClient(ctx, "p", options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return ctx, c
}

// eachFirestore runs a test against the stand-in, and against Google's emulator
// when FIRESTORE_EMULATOR_HOST names one: both must behave the same. The
// collection is the test's own.
func eachFirestore(t *testing.T, test func(t *testing.T, ctx context.Context, c *firestore.Client, docs *firestore.CollectionRef)) {
	collection := fmt.Sprintf("%s-%d", t.Name(), time.Now().UnixNano())
	run := func(standIn, emulator string) func(*testing.T) {
		return func(t *testing.T) {
			ctx, c := firestoreClient(t, standIn, emulator)
			test(t, ctx, c, c.Collection(collection))
		}
	}
	emulator := os.Getenv("FIRESTORE_EMULATOR_HOST")
	t.Run("stand-in", run(start(t, fakegoogle.Options{}).Addr(), ""))
	if emulator != "" {
		t.Run("emulator", run("", emulator))
	}
}

func wantCode(t testing.TB, what string, err error, want codes.Code) {
	t.Helper()
	if got := status.Code(err); got != want {
		t.Errorf("%s: %s (%v), want %s", what, got, err, want)
	}
}

func TestFirestorePreconditions(t *testing.T) {
	eachFirestore(t, func(t *testing.T, ctx context.Context, _ *firestore.Client, docs *firestore.CollectionRef) {
		doc, absent := docs.Doc("1"), docs.Doc("absent")
		data := map[string]any{"a": 1}
		update := []firestore.Update{{Path: "a", Value: 2}}
		now := time.Now().Truncate(time.Microsecond)

		snap, err := absent.Get(ctx)
		wantCode(t, "get absent", err, codes.NotFound)
		if snap == nil || snap.Exists() || snap.ReadTime.IsZero() {
			t.Errorf("get absent: snapshot %+v", snap)
		}
		_, err = absent.Update(ctx, update)
		wantCode(t, "update absent", err, codes.NotFound)
		_, err = absent.Update(ctx, update, firestore.LastUpdateTime(now))
		wantCode(t, "update absent with a time", err, codes.FailedPrecondition)
		_, err = absent.Delete(ctx)
		wantCode(t, "delete absent", err, codes.OK)
		_, err = absent.Delete(ctx, firestore.Exists)
		wantCode(t, "delete absent that must exist", err, codes.NotFound)
		_, err = absent.Delete(ctx, firestore.LastUpdateTime(now))
		wantCode(t, "delete absent with a time", err, codes.FailedPrecondition)

		_, err = absent.Delete(ctx, firestore.LastUpdateTime(now.Add(1)))
		wantCode(t, "time with nanoseconds", err, codes.InvalidArgument)

		created, err := doc.Create(ctx, data)
		wantCode(t, "create", err, codes.OK)
		_, err = doc.Create(ctx, data)
		wantCode(t, "create again", err, codes.AlreadyExists)
		updated, err := doc.Update(ctx, update, firestore.LastUpdateTime(created.UpdateTime))
		wantCode(t, "update with its time", err, codes.OK)
		_, err = doc.Update(ctx, update, firestore.LastUpdateTime(created.UpdateTime))
		wantCode(t, "update with an old time", err, codes.FailedPrecondition)
		_, err = doc.Delete(ctx, firestore.LastUpdateTime(created.UpdateTime))
		wantCode(t, "delete with an old time", err, codes.FailedPrecondition)
		_, err = doc.Delete(ctx, firestore.LastUpdateTime(updated.UpdateTime))
		wantCode(t, "delete with its time", err, codes.OK)
		_, err = doc.Get(ctx)
		wantCode(t, "get deleted", err, codes.NotFound)
		_, err = doc.Create(ctx, data)
		wantCode(t, "create after the deletion", err, codes.OK)
	})
}

func TestFirestoreWrites(t *testing.T) {
	when := time.Date(2026, 1, 2, 3, 4, 5, 6789, time.UTC)
	initial := map[string]any{"a": "old", "nested": map[string]any{"x": 1, "y": 2}, "odd.name`\\": true, "t": when, "bytes": []byte("b"), "list": []any{"1", 2.5, nil}}
	tests := []struct {
		name  string
		write func(context.Context, *firestore.DocumentRef) error
		want  map[string]any
	}{
		{"nothing", func(context.Context, *firestore.DocumentRef) error { return nil },
			map[string]any{"a": "old", "nested": map[string]any{"x": int64(1), "y": int64(2)}, "odd.name`\\": true, "t": when.Truncate(time.Microsecond), "bytes": []byte("b"), "list": []any{"1", 2.5, nil}}},
		{"set", func(ctx context.Context, d *firestore.DocumentRef) error {
			_, err := d.Set(ctx, map[string]any{"b": "new"})
			return err
		}, map[string]any{"b": "new"}},
		{"set to nothing", func(ctx context.Context, d *firestore.DocumentRef) error {
			_, err := d.Set(ctx, map[string]any{})
			return err
		}, map[string]any{}},
		{"merge", func(ctx context.Context, d *firestore.DocumentRef) error {
			_, err := d.Set(ctx, map[string]any{"nested": map[string]any{"x": 3, "y": firestore.Delete}, "a": firestore.Delete, "t": firestore.Delete, "bytes": firestore.Delete, "list": firestore.Delete}, firestore.MergeAll)
			return err
		}, map[string]any{"nested": map[string]any{"x": int64(3)}, "odd.name`\\": true}},
		{"update paths", func(ctx context.Context, d *firestore.DocumentRef) error {
			_, err := d.Update(ctx, []firestore.Update{
				{FieldPath: firestore.FieldPath{"odd.name`\\"}, Value: false}, {Path: "nested.z.deep", Value: "d"},
				{Path: "nested.x", Value: firestore.Delete}, {Path: "none.such", Value: firestore.Delete},
				{Path: "t", Value: firestore.Delete}, {Path: "bytes", Value: firestore.Delete}, {Path: "list", Value: firestore.Delete},
			})
			return err
		}, map[string]any{"a": "old", "nested": map[string]any{"y": int64(2), "z": map[string]any{"deep": "d"}}, "odd.name`\\": false}},
		{"path through a value that is no map", func(ctx context.Context, d *firestore.DocumentRef) error {
			if _, err := d.Set(ctx, map[string]any{"a": 1}); err != nil {
				return err
			}
			_, err := d.Update(ctx, []firestore.Update{{Path: "a.b", Value: 2}})
			return err
		}, map[string]any{"a": map[string]any{"b": int64(2)}}},
	}
	eachFirestore(t, func(t *testing.T, ctx context.Context, _ *firestore.Client, docs *firestore.CollectionRef) {
		for i, tt := range tests {
			doc := docs.Doc(fmt.Sprint(i))
			if _, err := doc.Set(ctx, initial); err != nil {
				t.Fatal(err)
			}
			if err := tt.write(ctx, doc); err != nil {
				t.Errorf("%s: %v", tt.name, err)
				continue
			}
			snap, err := doc.Get(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if got := snap.Data(); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("%s: got %v\nwant %v", tt.name, got, tt.want)
			}
		}
	})
}

func TestFirestoreTimes(t *testing.T) {
	eachFirestore(t, func(t *testing.T, ctx context.Context, _ *firestore.Client, docs *firestore.CollectionRef) {
		doc := docs.Doc("1")
		var last time.Time
		for i := range 20 {
			got, err := doc.Set(ctx, map[string]any{"i": i})
			if err != nil {
				t.Fatal(err)
			}
			if !got.UpdateTime.After(last) || got.UpdateTime.Nanosecond()%1000 != 0 {
				t.Fatalf("update time %v after %v", got.UpdateTime, last)
			}
			last = got.UpdateTime
		}
		same, err := doc.Set(ctx, map[string]any{"i": 19})
		if err != nil {
			t.Fatal(err)
		}
		snap, err := doc.Get(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if !same.UpdateTime.Equal(snap.UpdateTime) || !snap.CreateTime.Before(snap.UpdateTime) || snap.ReadTime.Before(snap.UpdateTime) {
			t.Errorf("created %v, updated %v, read %v; last write said %v", snap.CreateTime, snap.UpdateTime, snap.ReadTime, same.UpdateTime)
		}
		if !same.UpdateTime.Equal(last) {
			t.Errorf("a write that changes nothing moved the update time from %v to %v", last, same.UpdateTime)
		}

		got, err := doc.Set(ctx, map[string]any{"at": firestore.ServerTimestamp})
		if err != nil {
			t.Fatal(err)
		}
		if snap, err = doc.Get(ctx); err != nil {
			t.Fatal(err)
		}
		if at, ok := snap.Data()["at"].(time.Time); !ok || at.After(got.UpdateTime) || at.Before(last.Add(-time.Minute)) {
			t.Errorf("server timestamp %v, written at %v", snap.Data()["at"], got.UpdateTime)
		}
	})
}

func TestFirestoreCommitIsAtomic(t *testing.T) {
	eachFirestore(t, func(t *testing.T, ctx context.Context, c *firestore.Client, docs *firestore.CollectionRef) {
		one, two := docs.Doc("1"), docs.Doc("2")
		if _, err := two.Set(ctx, map[string]any{"a": 1}); err != nil {
			t.Fatal(err)
		}
		//lint:ignore SA1019 nothing else commits several writes without a transaction
		_, err := c.Batch().Set(one, map[string]any{"a": 1}).Create(two, map[string]any{"a": 2}).Commit(ctx)
		wantCode(t, "batch", err, codes.AlreadyExists)
		_, err = one.Get(ctx)
		wantCode(t, "first write of the failed batch", err, codes.NotFound)
	})
}

func TestFirestoreDocumentSize(t *testing.T) {
	eachFirestore(t, func(t *testing.T, ctx context.Context, _ *firestore.Client, docs *firestore.CollectionRef) {
		_, err := docs.Doc("fits").Set(ctx, map[string]any{"v": strings.Repeat("x", 1_000_000)})
		wantCode(t, "a little less than 1 MiB", err, codes.OK)
		_, err = docs.Doc("large").Set(ctx, map[string]any{"v": []string{strings.Repeat("x", 600_000), strings.Repeat("y", 600_000)}})
		wantCode(t, "more than 1 MiB", err, codes.InvalidArgument)
	})
}

func TestFirestoreLists(t *testing.T) {
	eachFirestore(t, func(t *testing.T, ctx context.Context, _ *firestore.Client, docs *firestore.CollectionRef) {
		var all []string
		for i := range 7 {
			all = append(all, fmt.Sprintf("d%d", i))
			if _, err := docs.Doc(all[i]).Set(ctx, map[string]any{"i": i, "j": i}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := docs.Doc("d3").Collection("below").Doc("x").Set(ctx, map[string]any{}); err != nil {
			t.Fatal(err)
		}
		byName := docs.OrderBy(firestore.DocumentID, firestore.Asc)
		_, err := docs.OrderBy(firestore.DocumentID, firestore.Desc).Documents(ctx).GetAll()
		wantCode(t, "backwards", err, codes.FailedPrecondition)
		tests := []struct {
			name  string
			query firestore.Query
			want  []string
		}{
			{"all", docs.Query, all},
			{"by name", byName, all},
			{"limit", byName.Limit(3), all[:3]},
			{"start at", byName.StartAt("d4"), all[4:]},
			{"start after", byName.StartAfter("d4"), all[5:]},
			{"start after one that is absent", byName.StartAfter("d4a"), all[5:]},
			{"end at", byName.EndAt("d1"), all[:2]},
			{"end before", byName.EndBefore("d1"), all[:1]},
			{"page", byName.StartAfter("d1").Limit(2), all[2:4]},
			{"past the end", byName.StartAfter("d6"), nil},
		}
		for _, tt := range tests {
			snaps, err := tt.query.Documents(ctx).GetAll()
			if err != nil {
				t.Errorf("%s: %v", tt.name, err)
				continue
			}
			var got []string
			for _, s := range snaps {
				got = append(got, s.Ref.ID)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
			}
		}
		selected, err := byName.Limit(1).Select("j").Documents(ctx).GetAll()
		if err != nil || len(selected) != 1 || !reflect.DeepEqual(selected[0].Data(), map[string]any{"j": int64(0)}) {
			t.Errorf("projection: %v, %v", selected, err)
		}
		checkDocumentRefs(t, ctx, docs, all)
	})
}

// checkDocumentRefs lists in pages, where an absent document with one below it
// shows up too.
func checkDocumentRefs(t *testing.T, ctx context.Context, docs *firestore.CollectionRef, want []string) {
	t.Helper()
	if _, err := docs.Doc("d3").Delete(ctx); err != nil {
		t.Fatal(err)
	}
	it := docs.DocumentRefs(ctx)
	it.PageInfo().MaxSize = 2
	refs, err := it.GetAll()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range refs {
		got = append(got, path.Base(r.Path))
	}
	if !slices.Equal(got, want) {
		t.Errorf("references: got %v, want %v", got, want)
	}
}

func TestFirestoreRefusesWhatItDoesNotKnow(t *testing.T) {
	s := start(t, fakegoogle.Options{})
	ctx, c := firestoreClient(t, s.Addr(), "")
	docs := c.Collection("grants")
	s.SetDocument("grants/1", map[string]any{"n": 1})
	_, err := docs.Where("n", "==", 1).Documents(ctx).GetAll()
	wantCode(t, "filter", err, codes.Unimplemented)
	_, err = docs.OrderBy("n", firestore.Asc).Documents(ctx).GetAll()
	wantCode(t, "order", err, codes.Unimplemented)
	_, err = docs.Doc("1").Update(ctx, []firestore.Update{{Path: "n", Value: firestore.Increment(1)}})
	wantCode(t, "increment", err, codes.Unimplemented)
	err = c.RunTransaction(ctx, func(context.Context, *firestore.Transaction) error { return nil })
	wantCode(t, "transaction", err, codes.Unimplemented)
}

func TestDocumentsFromOutside(t *testing.T) {
	s := start(t, fakegoogle.Options{})
	ctx, c := firestoreClient(t, s.Addr(), "")
	s.SetDocument("grants/1", map[string]any{"n": 1, "tags": []string{"a"}})
	snap, err := c.Doc("grants/1").Get(ctx)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"n": int64(1), "tags": []any{"a"}}
	if got := snap.Data(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := s.Documents()["grants/1"]; !reflect.DeepEqual(got, want) {
		t.Errorf("Documents: got %v, want %v", got, want)
	}
	s.SetDocument("grants/1", map[string]any{"n": 2})
	_, err = c.Doc("grants/1").Update(ctx, []firestore.Update{{Path: "n", Value: 3}}, firestore.LastUpdateTime(snap.UpdateTime))
	wantCode(t, "update behind SetDocument", err, codes.FailedPrecondition)
	s.DeleteDocument("grants/1")
	s.SetDocument("grants/2", nil)
	s.WipeDocuments()
	if got := s.Documents(); len(got) != 0 {
		t.Errorf("left: %v", got)
	}
}

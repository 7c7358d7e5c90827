package fakegoogle

import (
	"context"
	"maps"
	"time"

	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// maxDocumentBytes is Firestore's limit: https://firebase.google.com/docs/firestore/quotas#limits.
const maxDocumentBytes = 1 << 20

// Commit serves Create, Set, Update and Delete of DocumentRef, and batches of
// them. All writes happen or none.
func (f *firestoreService) Commit(_ context.Context, req *firestorepb.CommitRequest) (*firestorepb.CommitResponse, error) {
	if len(req.GetTransaction()) > 0 {
		return nil, unimplemented("transactions")
	}
	return f.vault.commit(req.GetWrites())
}

func (v *vault) commit(writes []*firestorepb.Write) (*firestorepb.CommitResponse, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	tx := commit{docs: v.docs, changed: make(map[string]*document), time: v.nextTimeLocked()}
	answer := &firestorepb.CommitResponse{CommitTime: timestamppb.New(tx.time)}
	for _, w := range writes {
		result, err := tx.apply(w)
		if err != nil {
			return nil, err
		}
		answer.WriteResults = append(answer.WriteResults, result)
	}
	if err := v.storeLocked(tx.changed); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	v.last = tx.time
	return answer, nil
}

// nextTimeLocked is later than every update time given out, in Firestore's microseconds.
func (v *vault) nextTimeLocked() time.Time {
	now := v.now().UTC().Truncate(time.Microsecond)
	if !now.After(v.last) {
		now = v.last.Add(time.Microsecond)
	}
	return now
}

// storeLocked makes the changes, nil meaning deleted, and saves them.
func (v *vault) storeLocked(changed map[string]*document) error {
	for path, d := range changed {
		if d == nil {
			delete(v.docs, path)
			continue
		}
		v.docs[path] = d
	}
	return v.saveLocked()
}

// commit is a set of writes under way.
type commit struct {
	docs    map[string]*document // as stored, only read
	changed map[string]*document // nil: to be deleted
	time    time.Time
}

func (c *commit) current(path string) *document {
	if d, ok := c.changed[path]; ok {
		return d
	}
	return c.docs[path]
}

func (c *commit) apply(w *firestorepb.Write) (*firestorepb.WriteResult, error) {
	switch op := w.GetOperation().(type) {
	case *firestorepb.Write_Update:
		return c.update(w, op.Update)
	case *firestorepb.Write_Delete:
		return c.delete(w, op.Delete)
	default:
		return nil, unimplemented("writes other than updates and deletes")
	}
}

func (c *commit) delete(w *firestorepb.Write, name string) (*firestorepb.WriteResult, error) {
	path, err := documentPath(name)
	if err != nil {
		return nil, err
	}
	if err := checkPrecondition(w.GetCurrentDocument(), c.current(path), name); err != nil {
		return nil, err
	}
	c.changed[path] = nil
	return &firestorepb.WriteResult{}, nil
}

func (c *commit) update(w *firestorepb.Write, doc *firestorepb.Document) (*firestorepb.WriteResult, error) {
	path, err := documentPath(doc.GetName())
	if err != nil {
		return nil, err
	}
	old := c.current(path)
	if err := checkPrecondition(w.GetCurrentDocument(), old, doc.GetName()); err != nil {
		return nil, err
	}
	fields, err := mergeFields(old, doc.GetFields(), w.GetUpdateMask())
	if err != nil {
		return nil, err
	}
	transformed, err := c.transform(fields, w.GetUpdateTransforms())
	if err != nil {
		return nil, err
	}
	if size := documentSize(path, fields); size > maxDocumentBytes {
		return nil, status.Errorf(codes.InvalidArgument, "Document %q is %d bytes large; the maximum is %d.", doc.GetName(), size, maxDocumentBytes)
	}
	d := c.put(path, old, fields)
	return &firestorepb.WriteResult{UpdateTime: timestamppb.New(d.updated), TransformResults: transformed}, nil
}

// put stages the document. A write that changes nothing keeps the update time
// (google.firestore.v1.WriteResult.update_time).
func (c *commit) put(path string, old *document, fields map[string]*firestorepb.Value) *document {
	d := &document{fields: fields, created: c.time, updated: c.time}
	if old != nil {
		d.created = old.created
	}
	if old != nil && sameFields(old.fields, fields) {
		d.updated = old.updated
	}
	c.changed[path] = d
	return d
}

func sameFields(a, b map[string]*firestorepb.Value) bool {
	return maps.EqualFunc(a, b, func(x, y *firestorepb.Value) bool { return proto.Equal(x, y) })
}

// checkPrecondition answers with the codes of production and of Google's emulator.
func checkPrecondition(p *firestorepb.Precondition, d *document, name string) error {
	switch want := p.GetConditionType().(type) {
	case *firestorepb.Precondition_Exists:
		if want.Exists && d == nil {
			return status.Errorf(codes.NotFound, "No document to update: %s", name)
		}
		if !want.Exists && d != nil {
			return status.Errorf(codes.AlreadyExists, "Document already exists: %s", name)
		}
	case *firestorepb.Precondition_UpdateTime:
		if want.UpdateTime.GetNanos()%1000 != 0 {
			return status.Error(codes.InvalidArgument, "timestamp cannot have more than microseconds precision")
		}
		if d == nil || !d.updated.Equal(want.UpdateTime.AsTime()) {
			return status.Errorf(codes.FailedPrecondition, "the stored version (%s) does not match the required base version", name)
		}
	}
	return nil
}

// mergeFields is the document after an update: the sent fields, or with a mask
// the old ones with those named by the mask replaced or, where absent, deleted.
func mergeFields(old *document, sent map[string]*firestorepb.Value, mask *firestorepb.DocumentMask) (map[string]*firestorepb.Value, error) {
	if mask == nil {
		return cloneFields(sent), nil
	}
	merged := make(map[string]*firestorepb.Value)
	if old != nil {
		merged = cloneFields(old.fields)
	}
	for _, p := range mask.GetFieldPaths() {
		path, err := parseFieldPath(p)
		if err != nil {
			return nil, err
		}
		if v := fieldAt(sent, path); v != nil {
			setField(merged, path, storedValue(v))
		} else {
			deleteField(merged, path)
		}
	}
	return merged, nil
}

// transform sets server timestamps, the only transformation known here.
func (c *commit) transform(fields map[string]*firestorepb.Value, transforms []*firestorepb.DocumentTransform_FieldTransform) ([]*firestorepb.Value, error) {
	var results []*firestorepb.Value
	for _, t := range transforms {
		if t.GetSetToServerValue() != firestorepb.DocumentTransform_FieldTransform_REQUEST_TIME {
			return nil, unimplemented("transformations other than server timestamps")
		}
		path, err := parseFieldPath(t.GetFieldPath())
		if err != nil {
			return nil, err
		}
		now := &firestorepb.Value{ValueType: &firestorepb.Value_TimestampValue{TimestampValue: timestamppb.New(c.time)}}
		setField(fields, path, now)
		results = append(results, now)
	}
	return results, nil
}

// Documents returns all documents: path relative to the database, as in
// "grants/123", to fields as Go values.
func (s *Server) Documents() map[string]map[string]any {
	s.vault.mu.Lock()
	defer s.vault.mu.Unlock()
	out := make(map[string]map[string]any, len(s.vault.docs))
	for path, d := range s.vault.docs {
		out[path] = goFields(d.fields)
	}
	return out
}

// SetDocument stores a document whatever was there before. Fields are of the
// types that Documents returns, or ints; anything else panics.
func (s *Server) SetDocument(path string, fields map[string]any) {
	values := protoFields(fields)
	v := s.vault
	v.mu.Lock()
	defer v.mu.Unlock()
	tx := commit{docs: v.docs, changed: make(map[string]*document), time: v.nextTimeLocked()}
	tx.put(path, v.docs[path], values)
	v.last = tx.time
	v.storeLocked(tx.changed) // a failure is reported by Close
}

// DeleteDocument deletes a document; an absent one is no error.
func (s *Server) DeleteDocument(path string) {
	s.vault.mu.Lock()
	defer s.vault.mu.Unlock()
	s.vault.storeLocked(map[string]*document{path: nil}) // a failure is reported by Close
}

// WipeDocuments deletes all documents.
func (s *Server) WipeDocuments() {
	s.vault.mu.Lock()
	defer s.vault.mu.Unlock()
	clear(s.vault.docs)
	s.vault.saveLocked() // a failure is reported by Close
}

package fakegoogle

import (
	"cmp"
	"context"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// documentsRoot is what every resource name starts with. Any project and any
// database are accepted, and are the same one.
var documentsRoot = regexp.MustCompile(`^projects/[^/]+/databases/[^/]+/documents`)

// firestoreService implements what DocumentRef and CollectionRef of the Go
// client need outside of transactions. All else is Unimplemented.
type firestoreService struct {
	firestorepb.UnimplementedFirestoreServer
	vault *vault
}

func registerFirestore(rpc *grpc.Server, s *Server) {
	firestorepb.RegisterFirestoreServer(rpc, &firestoreService{vault: s.vault})
}

// splitName splits a resource name into the root and the path below it, without
// a slash at either end.
func splitName(name string) (root, path string, err error) {
	root = documentsRoot.FindString(name)
	path = strings.TrimPrefix(name[len(root):], "/")
	if root == "" || name != root && name != root+"/"+path {
		return "", "", status.Errorf(codes.InvalidArgument, "Resource name %q is malformed.", name)
	}
	return root, path, nil
}

// documentPath is the path of a document, which has an even number of segments.
func documentPath(name string) (string, error) {
	_, path, err := splitName(name)
	if err != nil {
		return "", err
	}
	segments := strings.Split(path, "/")
	if len(segments)%2 != 0 || slices.Contains(segments, "") {
		return "", status.Errorf(codes.InvalidArgument, "Document name %q is malformed.", name)
	}
	return path, nil
}

func (d *document) proto(name string, keep map[string]*firestorepb.Value) *firestorepb.Document {
	return &firestorepb.Document{
		Name:       name,
		Fields:     keep,
		CreateTime: timestamppb.New(d.created),
		UpdateTime: timestamppb.New(d.updated),
	}
}

// masked returns the fields that the mask names; without a mask, all.
func (d *document) masked(mask *firestorepb.DocumentMask) (map[string]*firestorepb.Value, error) {
	if mask == nil {
		return d.fields, nil
	}
	kept := make(map[string]*firestorepb.Value)
	for _, p := range mask.GetFieldPaths() {
		path, err := parseFieldPath(p)
		if err != nil {
			return nil, err
		}
		if v := fieldAt(d.fields, path); v != nil {
			setField(kept, path, v)
		}
	}
	return kept, nil
}

// BatchGetDocuments serves DocumentRef.Get.
func (f *firestoreService) BatchGetDocuments(req *firestorepb.BatchGetDocumentsRequest, stream firestorepb.Firestore_BatchGetDocumentsServer) error {
	if req.GetConsistencySelector() != nil {
		return unimplemented("transactions and read times")
	}
	answers, err := f.vault.get(req.GetDocuments(), req.GetMask())
	if err != nil {
		return err
	}
	for _, a := range answers {
		if err := stream.Send(a); err != nil {
			return err
		}
	}
	return nil
}

func unimplemented(what string) error {
	return status.Errorf(codes.Unimplemented, "this stand-in does not support %s", what)
}

func (v *vault) get(names []string, mask *firestorepb.DocumentMask) ([]*firestorepb.BatchGetDocumentsResponse, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	readTime := timestamppb.New(v.readTimeLocked())
	var answers []*firestorepb.BatchGetDocumentsResponse
	for _, name := range names {
		path, err := documentPath(name)
		if err != nil {
			return nil, err
		}
		answer := &firestorepb.BatchGetDocumentsResponse{
			ReadTime: readTime,
			Result:   &firestorepb.BatchGetDocumentsResponse_Missing{Missing: name},
		}
		if d := v.docs[path]; d != nil {
			fields, err := d.masked(mask)
			if err != nil {
				return nil, err
			}
			answer.Result = &firestorepb.BatchGetDocumentsResponse_Found{Found: d.proto(name, fields)}
		}
		answers = append(answers, answer)
	}
	return answers, nil
}

// readTimeLocked is not before any update time given out.
func (v *vault) readTimeLocked() time.Time {
	now := v.now().UTC().Truncate(time.Microsecond)
	if now.Before(v.last) {
		return v.last
	}
	return now
}

// listing selects documents of one collection, in the order of their names.
type listing struct {
	root       string // of the resource names to answer
	parent     string // path of the parent document; empty at the top
	collection string
}

func (l listing) prefix() string {
	if l.parent == "" {
		return l.collection + "/"
	}
	return l.parent + "/" + l.collection + "/"
}

func (l listing) name(path string) string { return l.root + "/" + path }

// pathsLocked are the collection's documents. With missing, so are those that
// are absent but have documents below them.
func (v *vault) pathsLocked(l listing, missing bool) []string {
	prefix := l.prefix()
	found := make(map[string]struct{})
	for path := range v.docs {
		id, ok := strings.CutPrefix(path, prefix)
		if !ok {
			continue
		}
		id, _, below := strings.Cut(id, "/")
		if !below || missing {
			found[prefix+id] = struct{}{}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

const defaultListPage = 100

// ListDocuments serves CollectionRef.DocumentRefs.
func (f *firestoreService) ListDocuments(_ context.Context, req *firestorepb.ListDocumentsRequest) (*firestorepb.ListDocumentsResponse, error) {
	if req.GetConsistencySelector() != nil || req.GetOrderBy() != "" {
		return nil, unimplemented("transactions, read times and orders in ListDocuments")
	}
	root, parent, err := splitName(req.GetParent())
	if err != nil {
		return nil, err
	}
	l := listing{root: root, parent: parent, collection: req.GetCollectionId()}
	return f.vault.list(l, req)
}

// list pages by the last path answered, which is the page token.
func (v *vault) list(l listing, req *firestorepb.ListDocumentsRequest) (*firestorepb.ListDocumentsResponse, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	size := cmp.Or(int(req.GetPageSize()), defaultListPage)
	answer := &firestorepb.ListDocumentsResponse{}
	for _, path := range v.pathsLocked(l, req.GetShowMissing()) {
		if req.GetPageToken() != "" && path <= req.GetPageToken() {
			continue
		}
		if len(answer.Documents) == size {
			answer.NextPageToken, _ = strings.CutPrefix(answer.Documents[size-1].GetName(), l.root+"/")
			return answer, nil
		}
		d := v.docs[path]
		if d == nil {
			answer.Documents = append(answer.Documents, &firestorepb.Document{Name: l.name(path)})
			continue
		}
		fields, err := d.masked(req.GetMask())
		if err != nil {
			return nil, err
		}
		answer.Documents = append(answer.Documents, d.proto(l.name(path), fields))
	}
	return answer, nil
}

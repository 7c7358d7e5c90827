package fakegoogle

import (
	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// nameField stands for a document's name in orders and projections.
const nameField = "__name__"

// RunQuery serves CollectionRef.Documents: one collection, ordered by name, with
// cursors, a limit and a projection.
func (f *firestoreService) RunQuery(req *firestorepb.RunQueryRequest, stream firestorepb.Firestore_RunQueryServer) error {
	answers, err := f.vault.query(req)
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

// nameQuery is a query in the terms this stand-in understands.
type nameQuery struct {
	listing
	limit      int // 0: none
	start, end *bound
	mask       *firestorepb.DocumentMask
}

// bound is a cursor: results lie after or before path, or include it.
type bound struct {
	path   string
	before bool // the position is just before path, not just after
}

func (v *vault) query(req *firestorepb.RunQueryRequest) ([]*firestorepb.RunQueryResponse, error) {
	q, err := parseNameQuery(req)
	if err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	readTime := timestamppb.New(v.readTimeLocked())
	var answers []*firestorepb.RunQueryResponse
	for _, path := range q.selectPaths(v.pathsLocked(q.listing, false)) {
		fields, err := v.docs[path].masked(q.mask)
		if err != nil {
			return nil, err
		}
		answers = append(answers, &firestorepb.RunQueryResponse{
			Document: v.docs[path].proto(q.name(path), fields),
			ReadTime: readTime,
		})
	}
	if len(answers) == 0 {
		answers = append(answers, &firestorepb.RunQueryResponse{ReadTime: readTime})
	}
	return answers, nil
}

func (q nameQuery) selectPaths(paths []string) []string {
	var selected []string
	for _, path := range paths {
		if q.start != nil && q.start.isAfter(path) {
			continue
		}
		if q.end != nil && !q.end.isAfter(path) {
			break
		}
		if q.limit > 0 && len(selected) == q.limit {
			break
		}
		selected = append(selected, path)
	}
	return selected
}

// isAfter says whether the cursor's position comes after path.
func (b bound) isAfter(path string) bool {
	return path < b.path || path == b.path && !b.before
}

func parseNameQuery(req *firestorepb.RunQueryRequest) (nameQuery, error) {
	sq := req.GetStructuredQuery()
	if req.GetConsistencySelector() != nil || req.GetExplainOptions() != nil {
		return nameQuery{}, unimplemented("transactions, read times and explanations")
	}
	if sq.GetWhere() != nil || sq.GetOffset() != 0 || sq.GetFindNearest() != nil {
		return nameQuery{}, unimplemented("filters, offsets and vector searches")
	}
	if len(sq.GetFrom()) != 1 || sq.GetFrom()[0].GetAllDescendants() || sq.GetFrom()[0].GetCollectionId() == "" {
		return nameQuery{}, unimplemented("queries of anything but one collection")
	}
	root, parent, err := splitName(req.GetParent())
	if err != nil {
		return nameQuery{}, err
	}
	q := nameQuery{
		listing: listing{root: root, parent: parent, collection: sq.GetFrom()[0].GetCollectionId()},
		limit:   int(sq.GetLimit().GetValue()),
	}
	if sq.GetLimit() != nil && q.limit <= 0 {
		return nameQuery{}, status.Error(codes.InvalidArgument, "limit must be positive")
	}
	if err := checkNameOrder(sq.GetOrderBy()); err != nil {
		return nameQuery{}, err
	}
	if q.start, err = q.parseCursor(sq.GetStartAt()); err != nil {
		return nameQuery{}, err
	}
	if q.end, err = q.parseCursor(sq.GetEndAt()); err != nil {
		return nameQuery{}, err
	}
	q.mask = projectionMask(sq.GetSelect())
	return q, nil
}

// checkNameOrder wants the order by name, ascending, which is also the default.
func checkNameOrder(orders []*firestorepb.StructuredQuery_Order) error {
	if len(orders) == 0 {
		return nil
	}
	if len(orders) > 1 || orders[0].GetField().GetFieldPath() != nameField {
		return unimplemented("orders other than " + nameField)
	}
	if orders[0].GetDirection() == firestorepb.StructuredQuery_DESCENDING {
		return status.Error(codes.FailedPrecondition, "Firestore does not support descending key scans")
	}
	return nil
}

// parseCursor wants a reference to a document of the queried collection.
func (q nameQuery) parseCursor(c *firestorepb.Cursor) (*bound, error) {
	if c == nil {
		return nil, nil
	}
	if len(c.GetValues()) != 1 {
		return nil, status.Error(codes.InvalidArgument, "a cursor needs as many values as there are orders")
	}
	path, err := documentPath(c.GetValues()[0].GetReferenceValue())
	if err != nil {
		return nil, err
	}
	return &bound{path: path, before: c.GetBefore()}, nil
}

// projectionMask turns a projection into a mask. Selecting the name alone means
// no fields.
func projectionMask(p *firestorepb.StructuredQuery_Projection) *firestorepb.DocumentMask {
	if p == nil || len(p.GetFields()) == 0 {
		return nil
	}
	mask := &firestorepb.DocumentMask{}
	for _, f := range p.GetFields() {
		if f.GetFieldPath() != nameField {
			mask.FieldPaths = append(mask.FieldPaths, f.GetFieldPath())
		}
	}
	return mask
}

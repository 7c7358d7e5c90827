package fakecloud

import (
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// database is a Firestore database.
type database struct {
	kind     string // FIRESTORE_NATIVE or DATASTORE_MODE
	location string
	guarded  bool            // against deletion
	ttl      map[string]bool // COLLECTION_GROUP/FIELD
}

// A Database is what is known of one of Firestore's.
type Database struct {
	ID, Type, Location string
	Guarded            bool     // against deletion
	TTL                []string // COLLECTION_GROUP/FIELD
}

// Databases are all there are, sorted by ID.
func (c *Cloud) Databases() []Database {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []Database
	for _, id := range slices.Sorted(maps.Keys(c.databases)) {
		d := c.databases[id]
		list = append(list, Database{id, d.kind, d.location, d.guarded, slices.Sorted(maps.Keys(d.ttl))})
	}
	return list
}

// AddDatabase makes one that deploying has not made.
func (c *Cloud) AddDatabase(id, kind, location string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.databases[id] = &database{kind: kind, location: location, ttl: make(map[string]bool)}
}

// guarded is the state of a database that can't be deleted.
const guarded = "DELETE_PROTECTION_ENABLED"

var databaseID = regexp.MustCompile(`^[a-z][-a-z0-9]{2,61}[a-z0-9]$`)

func (c *Cloud) routeFirestore(mux *http.ServeMux) {
	const databases = "/firestore/v1/projects/{project}/databases"
	c.handle(mux, "GET "+databases, func(*http.Request) (any, *apiError) {
		list := []object{}
		for id := range c.databases {
			list = append(list, c.databaseResource(id))
		}
		return object{"databases": list}, nil
	})
	c.handle(mux, "POST "+databases, c.createDatabase)
	c.handle(mux, "DELETE "+databases+"/{database}", func(r *http.Request) (any, *apiError) {
		id := r.PathValue("database")
		if c.databases[id] == nil {
			return nil, notFound("Database " + id)
		}
		if c.databases[id].guarded {
			return nil, &apiError{http.StatusBadRequest, "FAILED_PRECONDITION", "Delete protection is enabled on the database."}
		}
		delete(c.databases, id)
		return c.databaseOperation(id), nil
	})
	c.handle(mux, "PATCH "+databases+"/{database}", func(r *http.Request) (any, *apiError) {
		d := c.databases[r.PathValue("database")]
		if d == nil {
			return nil, notFound("Database " + r.PathValue("database"))
		}
		var in struct {
			Name       string `json:"name"`
			Protection string `json:"deleteProtectionState"`
		}
		if err := read(r, &in); err != nil {
			return nil, err
		}
		if mask := r.URL.Query().Get("updateMask"); mask != "deleteProtectionState,name" {
			return nil, invalid("Only the delete protection can be set here, not %s.", mask)
		}
		d.guarded = in.Protection == guarded
		return c.databaseOperation(r.PathValue("database")), nil
	})
	const fields = databases + "/{database}/collectionGroups/{group}/fields"
	c.handle(mux, "GET "+fields, func(r *http.Request) (any, *apiError) {
		d := c.databases[r.PathValue("database")]
		if d == nil {
			return nil, notFound("Database " + r.PathValue("database"))
		}
		list := []object{}
		for field := range d.ttl {
			list = append(list, object{"name": c.fieldResource(r.PathValue("database"), field), "ttlConfig": object{"state": "ACTIVE"}})
		}
		return object{"fields": list}, nil
	})
	c.handle(mux, "PATCH "+fields+"/{field}", func(r *http.Request) (any, *apiError) {
		d := c.databases[r.PathValue("database")]
		if d == nil {
			return nil, notFound("Database " + r.PathValue("database"))
		}
		var in struct {
			Name      string  `json:"name"`
			TTLConfig *object `json:"ttlConfig"`
		}
		if err := read(r, &in); err != nil {
			return nil, err
		}
		if r.URL.Query().Get("updateMask") != "ttlConfig" || in.TTLConfig == nil {
			return nil, invalid("Only a TTL policy can be set here.")
		}
		d.ttl[r.PathValue("group")+"/"+r.PathValue("field")] = true
		return c.databaseOperation(r.PathValue("database")), nil
	})
}

func (c *Cloud) createDatabase(r *http.Request) (any, *apiError) {
	id := r.URL.Query().Get("databaseId")
	var in struct {
		LocationID string `json:"locationId"`
		Type       string `json:"type"`
		Edition    string `json:"databaseEdition"`
		Protection string `json:"deleteProtectionState"`
		Recovery   string `json:"pointInTimeRecoveryEnablement"`
		CMEK       object `json:"cmekConfig"`
	}
	if err := read(r, &in); err != nil {
		return nil, err
	}
	if !databaseID.MatchString(id) && id != "(default)" {
		return nil, invalid("%q is not a database ID.", id)
	}
	if in.LocationID == "" {
		return nil, invalid("A location is needed.")
	}
	if c.databases[id] != nil {
		return nil, alreadyExists("Database")
	}
	c.databases[id] = &database{kind: in.Type, location: in.LocationID, guarded: in.Protection == guarded, ttl: make(map[string]bool)}
	return c.databaseOperation(id), nil
}

func (c *Cloud) databaseResource(id string) object {
	d := c.databases[id]
	return object{"name": "projects/" + c.options.Project + "/databases/" + id, "type": d.kind, "locationId": d.location}
}

// fieldResource is the name of a field, given as COLLECTION_GROUP/FIELD.
func (c *Cloud) fieldResource(database, field string) string {
	group, name, _ := strings.Cut(field, "/")
	return "projects/" + c.options.Project + "/databases/" + database + "/collectionGroups/" + group + "/fields/" + name
}

func (c *Cloud) databaseOperation(id string) object {
	return object{"name": "projects/" + c.options.Project + "/databases/" + id + "/operations/op", "done": true, "response": object{}}
}

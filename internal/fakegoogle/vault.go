package fakegoogle

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/protobuf/encoding/protojson"
)

// vault keeps what survives a restart: secrets and documents. Its mutex makes
// every commit atomic.
type vault struct {
	now  func() time.Time
	file string // empty: nothing is kept

	mu      sync.Mutex
	secrets map[string][]secretVersion // by secret ID; version n is at n-1
	docs    map[string]*document       // by path relative to the database
	last    time.Time                  // newest update time given out
	saveErr error                      // the first failure to write the file
}

type secretVersion struct {
	Payload  []byte `json:"payload"`
	Disabled bool   `json:"disabled,omitempty"`
}

// document is immutable once stored: a write replaces it.
type document struct {
	fields  map[string]*firestorepb.Value
	created time.Time
	updated time.Time
}

// vaultFile is the layout of the state file.
type vaultFile struct {
	Secrets   map[string][]secretVersion `json:"secrets"`
	Documents map[string]documentFile    `json:"documents"`
}

type documentFile struct {
	Document json.RawMessage `json:"document"` // a google.firestore.v1.Document as JSON, times left out
	Created  time.Time       `json:"created"`
	Updated  time.Time       `json:"updated"`
}

// openVault loads the file if there is one.
func openVault(file string, now func() time.Time) (*vault, error) {
	v := &vault{
		now:     now,
		file:    file,
		secrets: make(map[string][]secretVersion),
		docs:    make(map[string]*document),
	}
	if file == "" {
		return v, nil
	}
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return v, nil
	}
	if err != nil {
		return nil, fmt.Errorf("fakegoogle: state file: %w", err)
	}
	if err := v.load(b); err != nil {
		return nil, fmt.Errorf("fakegoogle: state file %s: %w", file, err)
	}
	return v, nil
}

func (v *vault) load(b []byte) error {
	var f vaultFile
	if err := json.Unmarshal(b, &f); err != nil {
		return err
	}
	for name, versions := range f.Secrets {
		v.secrets[name] = versions
	}
	for path, d := range f.Documents {
		var doc firestorepb.Document
		if err := protojson.Unmarshal(d.Document, &doc); err != nil {
			return err
		}
		v.docs[path] = &document{fields: doc.GetFields(), created: d.Created, updated: d.Updated}
		if d.Updated.After(v.last) {
			v.last = d.Updated
		}
	}
	return nil
}

// saveLocked replaces the file. The first failure is remembered for Close.
func (v *vault) saveLocked() error {
	if v.file == "" {
		return nil
	}
	b, err := v.marshalLocked()
	if err == nil {
		err = replaceFile(v.file, b)
	}
	if err != nil {
		err = fmt.Errorf("fakegoogle: state file: %w", err)
	}
	if v.saveErr == nil {
		v.saveErr = err
	}
	return err
}

func (v *vault) marshalLocked() ([]byte, error) {
	f := vaultFile{Secrets: v.secrets, Documents: make(map[string]documentFile, len(v.docs))}
	for path, d := range v.docs {
		doc, err := protojson.Marshal(&firestorepb.Document{Fields: d.fields})
		if err != nil {
			return nil, err
		}
		f.Documents[path] = documentFile{Document: doc, Created: d.created, Updated: d.updated}
	}
	return json.MarshalIndent(f, "", "  ")
}

// replaceFile writes beside the file and renames, so that a reader sees the old
// content or the new one. os.CreateTemp makes the file with mode 0600.
func replaceFile(file string, b []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(b)
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return nil
}

func (v *vault) saveError() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.saveErr
}

package gmailgrant

import (
	"go/build"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "example.com/gmailgrant"

// dependencies are those of the root package, tests aside: what is linked into a
// function.
func dependencies(t *testing.T) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(out))
}

func TestDeployedImports(t *testing.T) {
	deps := dependencies(t)
	for _, name := range []string{"authurl", "callback", "listmessages", "tokenstore", "internal/endpoint", "internal/seal", "internal/session", "internal/site"} {
		if !slices.Contains(deps, module+"/"+name) {
			t.Errorf("%s is not deployed: the list is not what it should be", name)
		}
	}
	for _, dep := range deps {
		for _, refused := range []string{module + "/internal/fakegoogle", module + "/cmd", module + "/bench", "testing", "net/http/httptest", "net/http/pprof", "expvar"} {
			if dep == refused || strings.HasPrefix(dep, refused+"/") {
				t.Errorf("%s is deployed", dep)
			}
		}
	}
}

// Cloud Functions parses every Go file at the root, tests and excluded ones
// too, and wants one package, not main.
func TestRootIsOnePackage(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.PackageClauseOnly)
		if err != nil {
			t.Fatal(err)
		}
		if f.Name.Name != "gmailgrant" {
			t.Errorf("%s is of package %s", file, f.Name.Name)
		}
	}
}

// rooms are the top-level folders there may be.
var rooms = []string{"authurl", "bench", "callback", "cmd", "deploy", "internal", "listmessages", "tokenstore"}

func TestRooms(t *testing.T) {
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") && e.Name() != "testdata" && !slices.Contains(rooms, e.Name()) {
			t.Errorf("%s is none of the rooms", e.Name())
		}
	}
}

// What each package of ours may import of ours, so that the picture in the
// package comment stays true.
func TestLayers(t *testing.T) {
	allowed := map[string][]string{
		"internal/flight":   nil,
		"internal/seal":     {"internal/flight"},
		"internal/site":     nil,
		"tokenstore":        {"internal/flight", "internal/seal", "internal/site"},
		"internal/endpoint": {"internal/flight", "internal/site", "tokenstore"},
		"internal/session":  {"internal/endpoint", "internal/seal", "internal/site"},
		"authurl":           {"internal/endpoint", "internal/seal", "internal/session", "internal/site", "tokenstore"},
		"callback":          {"authurl", "internal/endpoint", "internal/seal", "internal/session", "internal/site", "tokenstore"},
		"listmessages":      {"internal/endpoint", "internal/flight", "internal/session", "tokenstore"},
	}
	for name, may := range allowed {
		p, err := build.ImportDir(name, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, imported := range p.Imports {
			if ours, ok := strings.CutPrefix(imported, module+"/"); ok && !slices.Contains(may, ours) {
				t.Errorf("%s imports %s", name, ours)
			}
		}
	}
}

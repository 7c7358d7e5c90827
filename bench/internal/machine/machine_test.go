//go:build linux

package machine

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestStartOnOneCPU(t *testing.T) {
	before, err := CPUs()
	if err != nil {
		t.Fatal(err)
	}
	last := before[len(before)-1]
	cmd := exec.CommandContext(t.Context(), "grep", "Cpus_allowed_list", "/proc/self/status")
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := Start(cmd, []int{last}, nil); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if _, list, _ := strings.Cut(strings.TrimSpace(out.String()), "\t"); strings.ContainsAny(list, ",-") {
		t.Errorf("the process may use the CPUs %s", list)
	}
	if after, err := CPUs(); err != nil || len(after) != len(before) {
		t.Errorf("this process may use %v, %v", after, err)
	}
}

func TestEvict(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, bytes.Repeat([]byte("x"), 4<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if part, err := cached(f); err != nil || part != 1 {
		t.Fatalf("%v of a file just written is in the page cache, %v", part, err)
	}
	if err := Evict(name); err != nil {
		t.Error(err)
	}
}

func TestOwnProcess(t *testing.T) {
	pid := os.Getpid()
	if memory, err := PeakMemory(pid); err != nil || memory < 1<<20 {
		t.Errorf("peak memory %d, %v", memory, err)
	}
	if _, err := CPUTime(pid); err != nil {
		t.Error(err)
	}
	if _, err := CPUTime(-1); err == nil {
		t.Error("a process that is not there has used CPU")
	}
	if d := Description(); !strings.Contains(d, "Linux ") || !strings.Contains(d, "go1.") {
		t.Errorf("description %q", d)
	}
}

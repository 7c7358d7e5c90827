//go:build linux

package machine

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// groupsWith is a folder that looks like that of cgroups.
func groupsWith(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func wantFile(t *testing.T, dir, name, want string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil || string(b) != want {
		t.Errorf("%s: %q, %v; want %q", name, b, err, want)
	}
}

func TestLimitV2(t *testing.T) {
	dir := groupsWith(t, "cgroup.controllers")
	l := newLimit(dir, 6)
	if l.Way != wayV2 {
		t.Fatalf("way %s", l.Way)
	}
	wantFile(t, dir, "cgroup.subtree_control", "+cpu")
	wantFile(t, l.group(), "cpu.max", "2000 12000")
}

func TestLimitV1(t *testing.T) {
	dir := groupsWith(t, "cpu/tasks")
	l := newLimit(dir, 6)
	if l.Way != wayV1 {
		t.Fatalf("way %s", l.Way)
	}
	wantFile(t, l.group(), "cpu.cfs_period_us", "12000")
	wantFile(t, l.group(), "cpu.cfs_quota_us", "2000")
}

// TestLimits limits a process that does nothing but count, in the way that this
// machine permits and in the one that any does: it can't have more than its part.
func TestLimits(t *testing.T) {
	here := NewLimit(6)
	defer here.Close()
	for _, l := range []*Limit{here, newLimit(t.TempDir(), 6)} {
		t.Run(strings.ReplaceAll(l.Way, " ", "-"), func(t *testing.T) { checkLimit(t, l) })
	}
}

func checkLimit(t *testing.T, l *Limit) {
	cpus, err := CPUs()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-c", "while :; do :; done")
	began := time.Now()
	if err := Start(cmd, cpus[:1], l); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	for used := time.Duration(0); used < 100*time.Millisecond; {
		time.Sleep(period)
		if used, err = CPUTime(cmd.Process.Pid); err != nil {
			t.Fatal(err)
		}
		if alive := time.Since(began); used > alive/2 {
			t.Fatalf("%s of CPU in %s", used, alive)
		}
	}
}

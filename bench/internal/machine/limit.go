//go:build linux

package machine

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// period is in which a limit is reckoned. It is short, so that a limited process
// is a slow one rather than one that stops now and then.
const period = 12 * time.Millisecond

// A Limit gives processes a part of a CPU. There are three ways, of which the first
// that the machine permits is taken: cgroup v2, cgroup v1, and stopping and
// continuing the process.
type Limit struct {
	Way    string
	run    time.Duration // of each period
	parent string        // of the cgroup: a folder; empty without one
}

const (
	// groups is where cgroups are; those of version 1 have a folder for CPU.
	groups   = "/sys/fs/cgroup"
	groupsV1 = "cpu"
)

// The ways.
const (
	wayV2   = "cgroup v2"
	wayV1   = "cgroup v1"
	wayStop = "stopping and continuing"
)

// NewLimit makes a limit of one over part of a CPU. Close removes it.
func NewLimit(part int) *Limit { return newLimit(groups, part) }

func newLimit(groups string, part int) *Limit {
	l := &Limit{Way: wayV2, run: period / time.Duration(part), parent: groups}
	if l.makeV2() == nil {
		return l
	}
	l.Way, l.parent = wayV1, filepath.Join(groups, groupsV1)
	if l.makeV1() == nil {
		return l
	}
	return &Limit{Way: wayStop, run: l.run}
}

// group is the folder of the cgroup.
func (l *Limit) group() string {
	return filepath.Join(l.parent, fmt.Sprintf("gmailgrant-bench-%d", os.Getpid()))
}

func (l *Limit) makeV2() error {
	if _, err := os.Stat(filepath.Join(l.parent, "cgroup.controllers")); err != nil {
		return err
	}
	if err := write(l.parent, "cgroup.subtree_control", "+cpu"); err != nil {
		return err
	}
	if err := mkdir(l.group()); err != nil {
		return err
	}
	return write(l.group(), "cpu.max", fmt.Sprintf("%d %d", l.run.Microseconds(), period.Microseconds()))
}

func (l *Limit) makeV1() error {
	if err := mkdir(l.group()); err != nil {
		return err
	}
	if err := write(l.group(), "cpu.cfs_period_us", strconv.FormatInt(period.Microseconds(), 10)); err != nil {
		return err
	}
	return write(l.group(), "cpu.cfs_quota_us", strconv.FormatInt(l.run.Microseconds(), 10))
}

func mkdir(dir string) error {
	err := os.Mkdir(dir, 0o755)
	if errors.Is(err, os.ErrExist) {
		return nil // of a run that was killed
	}
	return err
}

func write(dir, name, value string) error {
	return os.WriteFile(filepath.Join(dir, name), []byte(value), 0o644)
}

// Close removes the limit, of which no process may be left.
func (l *Limit) Close() error {
	if l.parent == "" {
		return nil
	}
	return os.Remove(l.group())
}

// start is called on a locked thread.
func (l *Limit) start(cmd *exec.Cmd) error {
	switch {
	case l == nil:
		return cmd.Start()
	case l.Way == wayV2:
		return l.startV2(cmd)
	case l.Way == wayV1:
		return l.startV1(cmd)
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	go l.stopAndContinue(cmd.Process)
	return nil
}

func (l *Limit) startV2(cmd *exec.Cmd) error {
	dir, err := os.Open(l.group())
	if err != nil {
		return err
	}
	defer dir.Close()
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(dir.Fd())
	return cmd.Start()
}

// startV1 lets this thread join the group, for the child to inherit it.
func (l *Limit) startV1(cmd *exec.Cmd) error {
	thread := strconv.Itoa(unix.Gettid())
	if err := write(l.group(), "tasks", thread); err != nil {
		return err
	}
	err := cmd.Start()
	return errors.Join(err, write(l.parent, "tasks", thread))
}

// stopAndContinue ends with the process.
func (l *Limit) stopAndContinue(p *os.Process) {
	for {
		Sleep(l.run)
		if p.Signal(unix.SIGSTOP) != nil {
			return
		}
		Sleep(period - l.run)
		if p.Signal(unix.SIGCONT) != nil {
			return
		}
	}
}

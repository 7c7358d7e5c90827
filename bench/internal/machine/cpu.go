//go:build linux

// Package machine is what measuring needs of Linux: a place without a network but
// with Google's names, one CPU for what is measured, less than one CPU, and a cold
// page cache.
package machine

import (
	"errors"
	"fmt"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// CPUs are those this process may use.
func CPUs() ([]int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, fmt.Errorf("CPUs: %w", err)
	}
	var cpus []int
	for cpu := range len(set) * 64 {
		if set.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	return cpus, nil
}

// Start starts a command that may use these CPUs, within the limit unless that is
// nil. The command inherits both from the thread that starts it, so that nothing
// runs between.
func Start(cmd *exec.Cmd, cpus []int, limit *Limit) error {
	runtime.LockOSThread() // never unlocked if the thread can't be put back: it ends then
	var before, set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return fmt.Errorf("CPUs: %w", err)
	}
	for _, cpu := range cpus {
		set.Set(cpu)
	}
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("CPUs: %w", err)
	}
	err := limit.start(cmd)
	if back := unix.SchedSetaffinity(0, &before); back != nil {
		return errors.Join(err, back)
	}
	runtime.UnlockOSThread()
	return err
}

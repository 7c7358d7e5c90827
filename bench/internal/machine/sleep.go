//go:build linux

package machine

import (
	"time"

	"golang.org/x/sys/unix"
)

// Sleep is time.Sleep for where a part of a millisecond counts: a Go program that has
// nothing else to do waits for its timers in whole milliseconds, as epoll_wait does.
// It takes a thread.
func Sleep(d time.Duration) {
	if d <= 0 {
		return
	}
	left := unix.NsecToTimespec(d.Nanoseconds())
	for unix.Nanosleep(&left, &left) == unix.EINTR { // the runtime's own signals
	}
}

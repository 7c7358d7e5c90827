//go:build linux

package machine

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Evict drops a file from the page cache. It fails if much of it stays there,
// as it does while a process runs it.
func Evict(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil { // what is not on the disk can't be dropped
		return err
	}
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		return fmt.Errorf("evicting %s: %w", name, err)
	}
	part, err := cached(f)
	if err == nil && part > 0.02 {
		err = fmt.Errorf("evicting %s: %.0f %% of it are still in the page cache", name, part*100)
	}
	return err
}

// cached tells how much of a file is in the page cache: 0 to 1.
func cached(f *os.File) (float64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	mapped, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_NONE, unix.MAP_SHARED)
	if err != nil {
		return 0, fmt.Errorf("page cache: %w", err)
	}
	defer unix.Munmap(mapped)
	page := os.Getpagesize()
	pages := make([]byte, (len(mapped)+page-1)/page)
	if err := mincore(mapped, pages); err != nil {
		return 0, fmt.Errorf("page cache: %w", err)
	}
	resident := 0
	for _, p := range pages {
		resident += int(p & 1)
	}
	return float64(resident) / float64(len(pages)), nil
}

//go:build linux

package machine

import (
	"fmt"
	"os"
	"runtime"
	"strings"
)

// Description names what the figures depend on: CPU, kernel, Go.
func Description() string {
	model := "CPU unknown"
	b, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(b)) {
		if name, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(name) == "model name" {
			model = strings.TrimSpace(value)
			break
		}
	}
	release, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return fmt.Sprintf("%s, Linux %s, %s", model, strings.TrimSpace(string(release)), runtime.Version())
}

package main

import (
	"bufio"
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// asCommand in the environment makes the test binary the command itself: the
// functions read their settings once per process, so each test needs its own.
const asCommand = "GMAILGRANT_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// command prepares a process of the command with nothing in its environment but
// what is given.
func command(t *testing.T, env []string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	home := t.TempDir()
	cmd.Env = append([]string{asCommand + "=1", "HOME=" + home, "XDG_CONFIG_HOME=" + home}, env...)
	return cmd
}

// process is a running command.
type process struct {
	cmd    *exec.Cmd
	banner string
	page   string // its address
	base   string // BASE_URL of the functions
}

var addresses = regexp.MustCompile(`Demo page +(\S+)\s+Functions +(\S+)/authurl`)

// start runs the command on free ports until the test ends, and returns once its
// banner is there.
func start(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	cmd := command(t, env, append([]string{"-port=0", "-page-port=0"}, args...)...)
	var errors bytes.Buffer
	cmd.Stderr = &errors
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("standard error of the command:\n%s", errors.String())
		}
	})
	p := &process{cmd: cmd}
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		p.banner += lines.Text() + "\n"
		if strings.HasPrefix(lines.Text(), "Ctrl-C") {
			break
		}
	}
	found := addresses.FindStringSubmatch(p.banner)
	if found == nil {
		t.Fatalf("no addresses in the banner:\n%s", p.banner)
	}
	p.page, p.base = found[1], found[2]
	return p
}

// stop sends a signal, as Ctrl-C does, and expects the command to end well.
func (p *process) stop(t *testing.T, signal os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Fatalf("after %v: %v", signal, err)
	}
}

func TestStopsCleanly(t *testing.T) {
	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			start(t, nil).stop(t, signal)
		})
	}
}

func TestBannerNamesWhatIsNotReal(t *testing.T) {
	t.Parallel()
	p := start(t, []string{"ALLOWED_ORIGINS=http://localhost:4200"})
	for _, want := range []string{
		"NOT Google",
		"in memory",
		p.base + "/callback",
		"curl -s '" + p.base + "/authurl'",
		"curl -i '" + p.base + "/listmessages'",
		"http://localhost:4200",
		"http://localhost:5173",
		"http://localhost:3000",
	} {
		if !strings.Contains(p.banner, want) {
			t.Errorf("%q is not in the banner:\n%s", want, p.banner)
		}
	}
	if strings.Contains(p.banner, "EMULATOR_HOST") {
		t.Errorf("the banner takes our own settings for the user's:\n%s", p.banner)
	}
}

func TestCommandLineMistakes(t *testing.T) {
	tests := []struct {
		name string
		env  []string
		args []string
		want string
	}{
		{"unknown flag", nil, []string{"-colour"}, "-colour"},
		{"argument", nil, []string{"8080"}, `unexpected argument "8080"`},
		{"no number", nil, []string{"-port=http"}, "-port"},
		{"port too high", nil, []string{"-page-port=65536"}, "65536"},
		{"PORT no number", []string{"PORT=http"}, nil, "PORT is not a number"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			output, err := command(t, test.env, test.args...).CombinedOutput()
			if code := exitCode(err); code != 2 {
				t.Errorf("exit status %d, want 2", code)
			}
			for _, want := range []string{test.want, "usage: ", "-client-secret"} {
				if !bytes.Contains(output, []byte(want)) {
					t.Errorf("%q is not in\n%s", want, output)
				}
			}
		})
	}
}

func TestHelpIsNoMistake(t *testing.T) {
	t.Parallel()
	output, err := command(t, nil, "-h").Output()
	if err != nil || !bytes.HasPrefix(output, []byte("usage: ")) {
		t.Errorf("-h: %v\n%s", err, output)
	}
}

func TestPortTaken(t *testing.T) {
	taken, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", "0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	port := strconv.Itoa(taken.Addr().(*net.TCPAddr).Port)

	tests := []struct {
		name string
		env  []string
		args []string
		want string
	}{
		{"functions", nil, []string{"-port=" + port}, "-port or PORT"},
		{"functions by PORT", []string{"PORT=" + port}, nil, "-port or PORT"},
		{"page", nil, []string{"-port=0", "-page-port=" + port}, "-page-port"},
		{"stand-in", nil, []string{"-port=0", "-page-port=0", "-google-port=" + port}, "-google-port"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			output, err := command(t, test.env, test.args...).CombinedOutput()
			if code := exitCode(err); code != 1 {
				t.Errorf("exit status %d, want 1", code)
			}
			want := "port " + port + " is taken by another program: stop that one, or choose another port with " + test.want + "\n"
			if string(output) != want {
				t.Errorf("printed %q, want %q", output, want)
			}
		})
	}
}

// The functions' own way of reading their settings is left alone by a run that
// never starts them.
func TestRunEndsBeforeItStartsAnything(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	before := os.Environ()
	err := run(ctx, []string{"-port=0", "-page-port=0", "-client-secret=missing.json", "-data=" + t.TempDir() + "/data.json"},
		func(string) string { return "" }, new(bytes.Buffer))
	if err == nil || !strings.Contains(err.Error(), "missing.json") {
		t.Errorf("run: %v", err)
	}
	if after := os.Environ(); strings.Join(before, "\n") != strings.Join(after, "\n") {
		t.Error("the environment has changed")
	}
}

// exitCode is the status with which a process ended; 0 when it ended well.
func exitCode(err error) int {
	if err == nil {
		return 0
	}
	if exit, ok := err.(*exec.ExitError); ok {
		return exit.ExitCode()
	}
	return -1
}

// A setting at fault ends the command at once, instead of every request to come.
func TestSettingsAtFault(t *testing.T) {
	t.Parallel()
	cmd := command(t, []string{"ALLOWED_ORIGINS=localhost:4200"}, "-port=0", "-page-port=0")
	output, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(string(output), "ALLOWED_ORIGINS: ") || strings.Contains(string(output), "Demo page") {
		t.Errorf("%v\n%s", err, output)
	}
}

//go:build emulator

package gmailgrant

import (
	"context"
	"crypto/rand"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"cloud.google.com/go/firestore"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"example.com/gmailgrant/internal/endpoint"
	"example.com/gmailgrant/internal/fakegoogle"
)

// Tests with Google's Firestore emulator, which they start and kill. The program
// is named by this variable; without it they fail.
const emulatorProgram = "FIRESTORE_EMULATOR"

// An emulator is a process group: the program does not pass signals on.
type emulator struct {
	address string
	group   *exec.Cmd
}

func newEmulator(t *testing.T) *emulator {
	t.Helper()
	t.Setenv("FIRESTORE_EMULATOR_HOST", "") // which Google's library would obey by itself
	e := &emulator{address: "127.0.0.1:" + freePort(t)}
	e.start(t)
	t.Cleanup(e.kill)
	return e
}

// start returns when the emulator answers.
func (e *emulator) start(t *testing.T) {
	t.Helper()
	host, port, _ := strings.Cut(e.address, ":")
	e.group = exec.Command(os.Getenv(emulatorProgram), "start", "--host="+host, "--port="+port)
	e.group.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := e.group.Start(); err != nil {
		t.Fatalf("%s: %v", emulatorProgram, err)
	}
	exited := make(chan struct{})
	go func() {
		_ = e.group.Wait() // it is killed
		close(exited)
	}()
	if err := waitForListener(e.address, exited); err != nil {
		t.Fatal(err)
	}
}

func (e *emulator) kill() { _ = syscall.Kill(-e.group.Process.Pid, syscall.SIGKILL) }

// newWorld is a world whose grants are in the emulator, in a project of its own.
func (e *emulator) newWorld(t *testing.T, options fakegoogle.Options, settings map[string]string) *world {
	t.Helper()
	project := "p-" + strings.ToLower(rand.Text())
	env := map[string]string{"FIRESTORE_EMULATOR_HOST": e.address, "GOOGLE_CLOUD_PROJECT": project}
	for name, value := range settings {
		env[name] = value
	}
	db, err := firestore.NewClient(context.Background(), project, option.WithEndpoint(e.address), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	w := newWorldOf(t, options, 3, env)
	w.db = db
	return w
}

// TestEmulatorInterleavings is the thousand of them.
func TestEmulatorInterleavings(t *testing.T) {
	e := newEmulator(t)
	interleave(t, 40, 25, func(t *testing.T, people []fakegoogle.Account) *world {
		return e.newWorld(t, fakegoogle.Options{Accounts: people}, nil)
	})
}

// TestEmulatorKilledUnderLoad: while Firestore is away, and after it has come
// back, every answer comes in time and is right; nothing is restarted but the
// emulator, which forgets everything and is given it again.
func TestEmulatorKilledUnderLoad(t *testing.T) {
	e := newEmulator(t)
	people := crowd(12)
	options := fakegoogle.Options{Accounts: people, AccessTokenTTL: 61 * time.Second} // refreshed when a minute is left
	w := e.newWorld(t, options, map[string]string{"LIST_DEADLINE": "5s"})
	w.clock.run()
	load := &workload{w: w, t: t}
	for _, p := range people {
		load.add(p)
	}
	load.start()

	load.until("all list", func(u *loadUser) bool { return u.listed.Load() > 0 })
	before := w.documents()
	load.away.Store(true)
	e.kill()
	load.until("all are told", func(u *loadUser) bool { return u.refused.Load() > 0 })
	e.start(t)
	for path, fields := range before {
		if _, err := w.db.Doc(path).Set(t.Context(), fields); err != nil {
			t.Fatal(err)
		}
	}
	load.reset()
	load.until("all list again", func(u *loadUser) bool { return u.listed.Load() > 0 })
	load.away.Store(false)
	load.reset()
	load.until("all go on listing", func(u *loadUser) bool { return u.listed.Load() > 2 })
	load.stop()
	if w.google.Calls("token.refresh") < len(people) {
		t.Error("hardly a token was refreshed")
	}
	for _, u := range load.users {
		u.signIn(choice{account: u.sub})
	}
}

// run makes the clock run.
func (c *testClock) run() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running = time.Now()
}

// A workload is users who ask again and again, until it is stopped.
type workload struct {
	w     *world
	t     *testing.T
	users []*loadUser
	away  atomic.Bool // Firestore is away, or has forgotten what it held
	ended atomic.Bool
	group sync.WaitGroup
}

type loadUser struct {
	*browser
	sub             string
	mail            []string
	listed, refused atomic.Int64
}

func (l *workload) add(p fakegoogle.Account) {
	u := &loadUser{browser: l.w.newBrowser(l.t), sub: p.Sub}
	u.signIn(choice{account: p.Sub})
	u.mail = u.fetch(http.MethodGet, "/listmessages").messages(l.t)
	u.client.Timeout = 15 * time.Second // a list has 5 s, and reading the grant before it as long
	l.users = append(l.users, u)
}

func (l *workload) start() {
	for _, u := range l.users {
		l.group.Go(func() {
			for !l.ended.Load() && !l.t.Failed() {
				l.ask(u, "/listmessages")
				l.ask(u, "/callback")
			}
		})
	}
}

func (l *workload) ask(u *loadUser, address string) {
	away := l.away.Load()
	a, err := u.try(u.request(http.MethodGet, address, "", http.Header{"Origin": {frontEnd}, "Sec-Fetch-Site": {"same-site"}}))
	if err != nil {
		l.t.Errorf("no answer in time: %v", err)
		return
	}
	away = away || l.away.Load() // at its beginning or before its end
	var problem struct{ Reason endpoint.Reason }
	switch {
	case a.StatusCode != http.StatusOK:
		a.decode(l.t, &problem)
		if !away || problem.Reason != endpoint.UpstreamUnavailable && problem.Reason != endpoint.NotConnected {
			l.t.Errorf("%s: %s", address, a.body)
		}
		u.refused.Add(1)
	case address == "/callback":
		if sub := a.sub(l.t); sub != u.sub {
			l.t.Errorf("%s is signed in as %s", u.sub, sub)
		}
	default:
		if got := a.messages(l.t); !slices.Equal(got, u.mail) {
			l.t.Errorf("the mail of somebody else: %q", got)
		}
		u.listed.Add(1)
	}
}

// until returns when something holds for all users.
func (l *workload) until(what string, holds func(u *loadUser) bool) {
	l.t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for !l.t.Failed() {
		if !slices.ContainsFunc(l.users, func(u *loadUser) bool { return !holds(u) }) {
			return
		}
		if time.Now().After(deadline) {
			l.t.Errorf("not reached: %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
	l.stop()
	l.t.FailNow()
}

func (l *workload) reset() {
	for _, u := range l.users {
		u.listed.Store(0)
		u.refused.Store(0)
	}
}

func (l *workload) stop() {
	l.ended.Store(true)
	l.group.Wait()
}

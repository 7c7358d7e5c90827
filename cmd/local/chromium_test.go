//go:build browser

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
)

// patience is how long each step may take on a machine that is busy with something
// else; nothing waits for it to pass.
const patience = 8 * time.Second

// Values of Chromium's setting for third-party cookies, as in chrome://settings.
const (
	allowThirdPartyCookies = 0
	blockThirdPartyCookies = 1
)

// A chromium is a browser of its own, with a new profile, until the test ends. It
// reaches loopback only.
type chromium struct {
	t   *testing.T
	ctx context.Context // of the browser; each tab has one below it
}

// startChromium starts a browser that blocks third-party cookies, as most do.
func startChromium(t *testing.T) *chromium {
	t.Helper()
	return startChromiumWith(t, blockThirdPartyCookies)
}

func startChromiumWith(t *testing.T, cookies int) *chromium {
	t.Helper()
	ctx, release := chromedp.NewExecAllocator(context.Background(),
		chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-default-apps", true),
		chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-sync", true),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1"),
		chromedp.WindowSize(1000, 900),
		chromedp.UserDataDir(newProfile(t, cookies)),
	)
	t.Cleanup(release)
	ctx, _ = chromedp.NewContext(ctx)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("starting Chromium: %v", err)
	}
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Errorf("stopping Chromium: %v", err)
		}
	})
	return &chromium{t, ctx}
}

// newProfile makes a profile with the setting for third-party cookies.
func newProfile(t *testing.T, cookies int) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "Default"), 0o700); err != nil {
		t.Fatal(err)
	}
	preferences := fmt.Appendf(nil, `{"profile": {"cookie_controls_mode": %d}}`, cookies)
	if err := os.WriteFile(filepath.Join(dir, "Default", "Preferences"), preferences, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A tab is a page of the browser. When the test ends, everything that it wrote to
// its console must have been expected: errors, warnings, violations of a policy.
type tab struct {
	t   *testing.T
	ctx context.Context // while the tab is there

	mu       sync.Mutex
	console  []string
	expected []*regexp.Regexp
	visited  []string // addresses of documents asked for, redirects too
}

// newTab opens a tab and goes to an address.
func (c *chromium) newTab(address string) *tab {
	c.t.Helper()
	tb := c.attach()
	tb.goTo(address)
	return tb
}

// attach makes a tab: a new one, or with an option one that is there.
func (c *chromium) attach(options ...chromedp.ContextOption) *tab {
	c.t.Helper()
	ctx, _ := chromedp.NewContext(c.ctx, options...) // ends with the browser
	tb := &tab{t: c.t, ctx: ctx}
	if err := chromedp.Listen(ctx, tb.listen); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(tb.checkConsole)
	return tb
}

// popup does what opens a window and returns that.
func (c *chromium) popup(opener *tab, open func()) *tab {
	c.t.Helper()
	ctx, cancel := opener.step()
	defer cancel()
	opened := chromedp.WaitNewTarget(ctx, func(i *target.Info) bool { return i.Type == "page" })
	open()
	select {
	case id := <-opened:
		return c.attach(chromedp.WithTargetID(id))
	case <-ctx.Done():
		c.t.Fatalf("no window was opened\n%s", opener.describe())
		return nil
	}
}

// listen keeps where the tab goes and what the console says, but for what is only
// information.
func (tb *tab) listen(event any) {
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		if e.Type == network.ResourceTypeDocument {
			tb.visit(e.Request.URL)
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			tb.keep("%s: %s (%s)", e.Entry.Source, e.Entry.Text, e.Entry.URL)
		}
	case *runtime.EventExceptionThrown:
		description := ""
		if e.ExceptionDetails.Exception != nil {
			description = e.ExceptionDetails.Exception.Description
		}
		tb.keep("exception: %s %s", e.ExceptionDetails.Text, description)
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning || e.Type == runtime.ConsoleAPICalledTypeAssert {
			tb.keep("console.%s: %s", e.Type, consoleText(e.Args))
		}
	}
}

func consoleText(args []*runtime.RemoteObject) string {
	var texts []string
	for _, arg := range args {
		texts = append(texts, arg.Description+string(arg.Value))
	}
	return strings.Join(texts, " ")
}

func (tb *tab) keep(format string, args ...any) {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	tb.console = append(tb.console, fmt.Sprintf(format, args...))
}

func (tb *tab) visit(address string) {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	tb.visited = append(tb.visited, address)
}

// lastVisit is the last address with a prefix to which the tab went.
func (tb *tab) lastVisit(prefix string) string {
	tb.t.Helper()
	tb.mu.Lock()
	defer tb.mu.Unlock()
	for _, address := range slices.Backward(tb.visited) {
		if strings.HasPrefix(address, prefix) {
			return address
		}
	}
	tb.t.Fatalf("never at %s", prefix)
	return ""
}

// expect allows messages of the console for the rest of the test. A browser writes
// there whenever an answer is no success.
func (tb *tab) expect(pattern string) {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	tb.expected = append(tb.expected, regexp.MustCompile(pattern))
}

// expectStatus allows an answer with a status, of one of the functions.
func (tb *tab) expectStatus(status int, function string) {
	tb.expect(fmt.Sprintf(`^network: Failed to load resource: the server responded with a status of %d .*/%s[^/]*$`, status, function))
}

// unexpected is what the console says besides.
func (tb *tab) unexpected() []string {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	var messages []string
	for _, message := range tb.console {
		if !tb.expects(message) {
			messages = append(messages, message)
		}
	}
	return messages
}

func (tb *tab) expects(message string) bool {
	for _, pattern := range tb.expected {
		if pattern.MatchString(message) {
			return true
		}
	}
	return false
}

func (tb *tab) checkConsole() {
	for _, message := range tb.unexpected() {
		tb.t.Errorf("in the console: %s", message)
	}
}

// step bounds what a test does next.
func (tb *tab) step() (context.Context, context.CancelFunc) {
	return context.WithTimeout(tb.ctx, patience)
}

func (tb *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	tb.t.Helper()
	ctx, cancel := tb.step()
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		tb.t.Fatalf("%v\n%s", err, tb.describe())
	}
}

// goTo opens an address as if typed in, and waits until it has been loaded.
func (tb *tab) goTo(address string) {
	tb.t.Helper()
	tb.do(chromedp.Navigate(address))
}

// close is the user closing the window.
func (tb *tab) close() {
	tb.t.Helper()
	if _, err := chromedp.Call(tb.ctx, page.Close, cdp.Empty{}); err != nil {
		tb.t.Fatal(err)
	}
}

func (tb *tab) back() {
	tb.t.Helper()
	tb.do(chromedp.NavigateBack())
}

// click presses the mouse on an element once it can be seen.
func (tb *tab) click(selector string) {
	tb.t.Helper()
	tb.do(chromedp.Click(chromedp.CSS(selector), chromedp.NodeVisible))
}

// press types keys, into whatever has the focus.
func (tb *tab) press(keys string) {
	tb.t.Helper()
	tb.do(chromedp.KeyEvent(keys))
}

// toFront shows the tab.
func (tb *tab) toFront() {
	tb.t.Helper()
	if _, err := chromedp.Call(tb.ctx, page.BringToFront, cdp.Empty{}); err != nil {
		tb.t.Fatal(err)
	}
}

// evaluate runs an expression in the page, and waits for it if it is a promise.
func evaluate[T any](tb *tab, expression string) T {
	tb.t.Helper()
	ctx, cancel := tb.step()
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		tb.t.Fatalf("%s: %v\n%s", expression, err, tb.describe())
	}
	return value
}

// until is a promise that is kept once the condition holds.
const until = `new Promise((done, fail) => {
  const look = () => {
    try {
      if (%s) done(true);
      else setTimeout(look, 10);
    } catch (error) {
      fail(error);
    }
  };
  look();
})`

// await waits until a condition holds, over navigations too: a page that goes away
// takes the question with it, and the next one is asked again.
func (tb *tab) await(condition string) {
	tb.t.Helper()
	ctx, cancel := tb.step()
	defer cancel()
	question := chromedp.Evaluate[bool](fmt.Sprintf(until, condition), chromedp.EvalAwaitPromise)
	for {
		_, err := chromedp.Run(ctx, question)
		if err == nil {
			return
		}
		if _, ok := errors.AsType[*chromedp.ExceptionError](err); ok || ctx.Err() != nil {
			tb.t.Fatalf("waiting for %s: %v\n%s", condition, err, tb.describe())
		}
	}
}

// awaitText waits until an element has a text in it.
func (tb *tab) awaitText(selector, text string) {
	tb.t.Helper()
	tb.await(fmt.Sprintf(`document.querySelector(%q)?.innerText.includes(%q)`, selector, text))
}

func (tb *tab) awaitVisible(selector string) {
	tb.t.Helper()
	tb.await(fmt.Sprintf(`document.querySelector(%q)?.checkVisibility()`, selector))
}

func (tb *tab) address() string {
	tb.t.Helper()
	return evaluate[string](tb, `location.href`)
}

// describe tells where the tab is, what it shows and what its console says.
func (tb *tab) describe() string {
	ctx, cancel := tb.step()
	defer cancel()
	shown, _ := chromedp.Run(ctx, chromedp.Evaluate[string](`location.href + "\n" + document.body?.innerText`))
	tb.mu.Lock()
	defer tb.mu.Unlock()
	return fmt.Sprintf("%s\nIn the console:\n%s", shown, strings.Join(tb.console, "\n"))
}

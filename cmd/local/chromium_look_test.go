//go:build browser

package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// TestChromiumPolicy: what the page's Content-Security-Policy forbids does not
// happen, and the browser says so.
func TestChromiumPolicy(t *testing.T) {
	p := start(t, []string{popupOn})
	tests := []struct{ directive, attempt string }{
		{"script-src-elem", `document.body.append(Object.assign(document.createElement('script'), { textContent: 'window.broken = true' }))`},
		{"script-src-elem", `document.body.append(Object.assign(document.createElement('script'), { src: 'http://localhost:1/x.js' }))`},
		{"script-src-attr", `document.body.setAttribute('onclick', 'window.broken = true'), document.body.click()`},
		{"style-src-attr", `document.body.setAttribute('style', 'display: none')`},
		{"style-src-elem", `document.body.append(Object.assign(document.createElement('style'), { textContent: 'body { display: none }' }))`},
		{"img-src", `new Image().src = 'http://localhost:1/pixel'`},
		{"connect-src", `fetch('http://localhost:1/').catch(() => {})`},
		{"frame-src", `document.body.append(Object.assign(document.createElement('iframe'), { src: 'http://localhost:1/' }))`},
		{"object-src", `document.body.append(Object.assign(document.createElement('object'), { data: 'http://localhost:1/' }))`},
		{"base-uri", `document.head.append(Object.assign(document.createElement('base'), { href: 'http://localhost:1/' }))`},
		{"form-action", `document.body.append(Object.assign(document.createElement('form'), { action: 'http://localhost:1/' })), document.querySelector('form[action]').submit()`},
	}
	tb := startChromium(t).openPage(p)
	tb.expect(`Content Security Policy`)
	tb.awaitSignedOut()
	for _, tt := range tests {
		got := evaluate[string](tb, fmt.Sprintf(`new Promise((done) => {
			document.addEventListener('securitypolicyviolation', (event) => done(event.effectiveDirective), { once: true });
			%s;
		})`, tt.attempt))
		if got != tt.directive {
			t.Errorf("%s: against %q, want %s", tt.attempt, got, tt.directive)
		}
	}
	if evaluate[bool](tb, `'broken' in window || getComputedStyle(document.body).display === 'none'`) {
		t.Error("something got through")
	}
}

// pictures is where the looks of the page are kept, to be looked at. The picture in
// the README is page.png, copied to testdata.
var pictures = flag.String("pictures", "", "`folder` for pictures of the page")

// maxPicture is more than the picture in the README may have.
const maxPicture = 150 << 10 // bytes

// TestChromiumLooks: in light and dark, on a desk and on a phone, everything fits
// its window and can be read.
func TestChromiumLooks(t *testing.T) {
	p := start(t, nil)
	tests := []struct {
		name          string
		width, height int64
		scheme        string
	}{
		{"page", 880, 860, "light"},
		{"page-dark", 880, 860, "dark"},
		{"page-phone", 390, 844, "light"},
		{"page-phone-dark", 390, 844, "dark"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tb := startChromium(t).openPage(p)
			tb.awaitSignedOut()
			tb.emulate(tt.width, tt.height, tt.scheme)
			tb.look(tt.name + "-signed-out")
			tb.click(`#connect`)
			tb.awaitVisible(`button[value=allow]`)
			tb.look(tt.name + "-consent")
			tb.answerConsent(consent{account: ada})
			tb.awaitSignedIn(ada)
			tb.awaitList()
			tb.look(tt.name)
			tb.click(`#rows .message button`)
			tb.awaitVisible(`#reader .text`)
			tb.look(tt.name + "-message")
			tb.click(`#reader-close`)
			tb.click(`#disconnect`)
			tb.look(tt.name + "-disconnect")
			tb.click(`#confirm button[value=cancel]`)
			tb.click(`#trials summary`)
			tb.expectStatus(401, "listmessages")
			tb.await(clickTrial("No session"))
			tb.awaitText(`#trial-answer`, "no_session")
			tb.do(chromedp.ScrollIntoView(chromedp.CSS(`#trial-answer`)))
			tb.look(tt.name + "-trials")
		})
	}
}

// emulate makes the window one of a size and a colour scheme.
func (tb *tab) emulate(width, height int64, scheme string) {
	tb.t.Helper()
	media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}
	if _, err := chromedp.Call(tb.ctx, emulation.SetEmulatedMedia, media); err != nil {
		tb.t.Fatal(err)
	}
	tb.do(chromedp.EmulateViewport(width, height))
	tb.await(fmt.Sprintf(`innerWidth === %d && matchMedia('(prefers-color-scheme: %s)').matches`, width, scheme))
}

// look checks what can be seen, and keeps a picture of it if that is wanted.
func (tb *tab) look(name string) {
	tb.t.Helper()
	if over := evaluate[int](tb, `document.documentElement.scrollWidth - innerWidth`); over > 0 {
		tb.t.Errorf("%s: %d pixels wider than its window", name, over)
	}
	if low := evaluate[[]string](tb, lowContrasts); len(low) > 0 {
		tb.t.Errorf("%s: hard to read: %s", name, strings.Join(low, "; "))
	}
	picture, err := chromedp.Run(tb.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		tb.t.Fatal(err)
	}
	if len(picture) > maxPicture {
		tb.t.Errorf("%s: a picture of %d bytes", name, len(picture))
	}
	if *pictures == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(*pictures, name+".png"), picture, 0o644); err != nil {
		tb.t.Fatal(err)
	}
}

// lowContrasts are the texts that stand out less from what is behind them than
// WCAG 2.2 wants: 4.5 to 1 (success criterion 1.4.3, which leaves out what is
// disabled).
const lowContrasts = `(() => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const luminance = (color) => {
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const color = getComputedStyle(node).backgroundColor;
      if (color !== 'rgba(0, 0, 0, 0)') return color;
    }
    return 'Canvas';
  };
  const ratio = (node) => {
    const [low, high] = [luminance(getComputedStyle(node).color), luminance(behind(node))].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const hasText = (node) => [...node.childNodes].some((child) => child.nodeType === Node.TEXT_NODE && child.data.trim());
  const counts = (node) => hasText(node) && node.checkVisibility() && !node.matches(':has(:disabled), :disabled');
  return [...document.querySelectorAll('body *')].filter((node) => counts(node) && ratio(node) < 4.5)
    .map((node) => ratio(node).toFixed(2) + ' ' + node.innerText);
})()`

// TestChromiumKeyboard signs in and searches without a mouse.
func TestChromiumKeyboard(t *testing.T) {
	p := start(t, nil)
	tb := startChromium(t).openPage(p)
	tb.awaitSignedOut()
	tb.tabTo(`#connect`)
	tb.press(kb.Enter)
	tb.awaitVisible(`button[value=allow]`)
	tb.tabTo(`input[name=account]`)
	tb.press(kb.ArrowDown) // from the first account to the second
	tb.tabTo(`button[value=allow]`)
	tb.press(kb.Enter)
	tb.awaitSignedIn(ben)
	tb.awaitList()
	all := tb.rows()

	tb.tabTo(`#q`)
	tb.press("subject:invoice" + kb.Enter)
	tb.await(fmt.Sprintf(`(() => { const n = document.querySelectorAll('#rows .message').length; return n > 0 && n < %d; })()`, all))
	tb.tabTo(`#rows .message button`)
	tb.press(kb.Enter)
	tb.awaitVisible(`#reader[open] .text`)
	tb.press(kb.Escape)
	tb.await(`!document.querySelector('#reader').open`)
	tb.await(`document.activeElement.matches('#rows .message button')`) // where it was
}

// tabTo presses Tab until an element has the focus.
func (tb *tab) tabTo(selector string) {
	tb.t.Helper()
	const most = 100 // more than any way on these pages
	for range most {
		tb.press(kb.Tab)
		if evaluate[bool](tb, fmt.Sprintf(`document.activeElement?.matches(%q)`, selector)) {
			return
		}
	}
	tb.t.Fatalf("Tab never comes to %s\n%s", selector, tb.describe())
}

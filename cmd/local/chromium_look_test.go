//go:build browser

package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
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

// pictures is where the looks of the page are kept, to be looked at.
var pictures = flag.String("pictures", "", "`folder` for pictures of the page; the README's is page.png of testdata")

// maxPicture is more than the picture in the README may have.
const maxPicture = 150 << 10 // bytes

// TestChromiumLooks: in light and dark, on a desk and on a phone, the page fits its
// window and can be read.
func TestChromiumLooks(t *testing.T) {
	p := start(t, nil)
	looks := []struct {
		name          string
		width, height int64
		scheme        string
	}{
		{"page", 880, 700, "light"},
		{"page-dark", 880, 700, "dark"},
		{"page-phone", 390, 844, "light"},
		{"page-phone-dark", 390, 844, "dark"},
	}
	tb := startChromium(t).openPage(p)
	tb.connect(ada)
	for _, look := range looks {
		scheme := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: look.scheme}}}
		if _, err := chromedp.Call(tb.ctx, emulation.SetEmulatedMedia, scheme); err != nil {
			t.Fatal(err)
		}
		tb.do(chromedp.EmulateViewport(look.width, look.height))
		if over := evaluate[int](tb, `document.documentElement.scrollWidth - innerWidth`); over > 0 {
			t.Errorf("%s: %d pixels wider than its window", look.name, over)
		}
		if worst := evaluate[float64](tb, worstContrast); worst < 4.5 {
			t.Errorf("%s: text with a contrast of %.2f", look.name, worst)
		}
		tb.keepPicture(look.name)
	}
}

// worstContrast is the lowest ratio between a text and what is behind it: WCAG 2.2,
// success criterion 1.4.3, wants 4.5.
const worstContrast = `(() => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const luminance = (color) => {
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const transparent = 'rgba(0, 0, 0, 0)';
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const color = getComputedStyle(node).backgroundColor;
      if (color !== transparent) return color;
    }
    return 'white';
  };
  const ratio = (node) => {
    const [low, high] = [luminance(getComputedStyle(node).color), luminance(behind(node))].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const hasText = (node) => [...node.childNodes].some((child) => child.nodeType === Node.TEXT_NODE && child.data.trim());
  return Math.min(...[...document.querySelectorAll('body *')].filter((node) => hasText(node) && node.checkVisibility()).map(ratio));
})()`

// keepPicture writes a picture of the window if that is wanted.
func (tb *tab) keepPicture(name string) {
	tb.t.Helper()
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

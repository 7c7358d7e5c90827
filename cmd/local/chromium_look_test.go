//go:build browser

package main

import (
	"bytes"
	"flag"
	"fmt"
	"image/color"
	"image/png"
	"math"
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
			tb.answerConsent(consent{deny: true})
			tb.awaitText(`#notices`, "access_denied")
			tb.look(tt.name + "-denied")
			tb.click(`#notices .primary`)
			tb.answerConsent(consent{account: ada, untick: []string{readonly}})
			tb.awaitText(`#notices`, "missing_scope")
			tb.look(tt.name + "-unticked")
			tb.click(`#notices .primary`)
			tb.answerConsent(consent{account: ada})
			tb.awaitSignedIn(ada)
			tb.awaitList()
			inbox := tb.look(tt.name)
			if tt.name == "page" {
				wantPictureOfReadme(t, inbox)
			}
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
			tb.do(chromedp.ScrollIntoView(chromedp.CSS(`#trial-problem`)))
			tb.look(tt.name + "-trials")
			tb.tryTrial("Gmail throttles for a moment")
			tb.awaitText(`#countdown`, "goes on by itself")
			tb.look(tt.name + "-pause")
			tb.tryTrial("Gmail throttles halfway")
			tb.awaitText(`#list-end`, "ends early")
			tb.do(chromedp.ScrollIntoView(chromedp.CSS(`#list-end`)))
			tb.look(tt.name + "-incomplete")
			tb.tryTrial("Messages that can’t be had")
			tb.awaitVisible(`#rows .missing`)
			tb.awaitList()
			tb.look(tt.name + "-missing")
			tb.tryTrial("Access revoked at Google")
			tb.awaitText(`#notices`, "Access was revoked")
			evaluate[any](tb, `scrollTo(0, 0)`)
			tb.look(tt.name + "-revoked")
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

// look checks what can be seen, keeps a picture of it if that is wanted, and returns
// it.
func (tb *tab) look(name string) []byte {
	tb.t.Helper()
	if over := evaluate[int](tb, `document.documentElement.scrollWidth - innerWidth`); over > 0 {
		tb.t.Errorf("%s: %d pixels wider than its window", name, over)
	}
	if low := evaluate[[]string](tb, lowContrasts); len(low) > 0 {
		tb.t.Errorf("%s: hard to see: %s", name, strings.Join(low, "; "))
	}
	picture, err := chromedp.Run(tb.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		tb.t.Fatal(err)
	}
	if len(picture) > maxPicture {
		tb.t.Errorf("%s: a picture of %d bytes", name, len(picture))
	}
	if *pictures == "" {
		return picture
	}
	if err := os.WriteFile(filepath.Join(*pictures, name+".png"), picture, 0o644); err != nil {
		tb.t.Fatal(err)
	}
	return picture
}

// wantPictureOfReadme compares with the picture in the README, as far as fonts and
// dates allow: the mean brightness of squares, each a few letters wide.
func wantPictureOfReadme(t *testing.T, got []byte) {
	t.Helper()
	kept, err := os.ReadFile("testdata/page.png")
	if err != nil {
		t.Fatal(err)
	}
	a, b := squares(t, kept), squares(t, got)
	if len(a) != len(b) {
		t.Fatalf("testdata/page.png has %d squares, the page %d", len(a), len(b))
	}
	sum := 0.0
	for i := range a {
		sum += math.Abs(a[i] - b[i])
	}
	const most = 0.012 // of 1, which is black against white
	if mean := sum / float64(len(a)); mean > most {
		t.Errorf("the page no longer looks like testdata/page.png: they are %.4f apart; -args -pictures makes a new one", mean)
	}
}

// squares is the brightness of a picture, from 0 to 1, square by square.
func squares(t *testing.T, picture []byte) []float64 {
	t.Helper()
	img, err := png.Decode(bytes.NewReader(picture))
	if err != nil {
		t.Fatal(err)
	}
	const side = 20
	bounds := img.Bounds()
	var all []float64
	for top := bounds.Min.Y; top+side <= bounds.Max.Y; top += side {
		for left := bounds.Min.X; left+side <= bounds.Max.X; left += side {
			sum := 0
			for i := range side * side {
				sum += int(color.GrayModel.Convert(img.At(left+i%side, top+i/side)).(color.Gray).Y)
			}
			all = append(all, float64(sum)/(side*side*255))
		}
	}
	return all
}

// lowContrasts are what stands out less from what is behind it than WCAG 2.2 wants:
// texts 4.5 to 1 (success criterion 1.4.3, which leaves out what is disabled), the
// edges of what is filled in 3 to 1 (1.4.11).
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
  const between = (...colors) => {
    const [low, high] = colors.map(luminance).sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const ratio = (node) => between(getComputedStyle(node).color, behind(node));
  const edge = (node) => Math.min(...[behind(node), behind(node.parentElement)].map((color) => between(getComputedStyle(node).borderTopColor, color)));
  const hasText = (node) => [...node.childNodes].some((child) => child.nodeType === Node.TEXT_NODE && child.data.trim());
  const counts = (node) => hasText(node) && node.checkVisibility() && !node.matches(':has(:disabled), :disabled');
  const texts = [...document.querySelectorAll('body *')].filter((node) => counts(node) && ratio(node) < 4.5)
    .map((node) => ratio(node).toFixed(2) + ' ' + node.innerText);
  const edges = [...document.querySelectorAll('input[type=search], select')].filter((node) => node.checkVisibility() && edge(node) < 3)
    .map((node) => edge(node).toFixed(2) + ' edge of ' + node.id);
  return [...texts, ...edges];
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

//go:build browser

package main

import (
	"strings"
	"testing"
)

// TestChromiumHostileMail: nothing in a message is more than text, and one that is not
// there, deleted meanwhile, too large or not given by Gmail, is spoken of.
func TestChromiumHostileMail(t *testing.T) {
	const attack = `<img src=x onerror="document.title='hacked'"><script>document.title='hacked'</script>`
	p, wire := startOnWire(t)
	tb := startChromium(t).openPage(p)
	tb.connect(ada)
	harmless := func() {
		t.Helper()
		if evaluate[bool](tb, `document.title !== 'gmailgrant demo' || document.querySelector('main img, dialog img, main script, dialog script') !== null`) {
			t.Error("a part of the message is part of the page")
		}
	}
	hostile := mailOf("1", attack+" <ada@example.org>", attack, "&lt;b&gt;"+attack, `<p style="color:red" onclick="x()">Read me.</p>`+attack+`<style>p{}</style><title>Not me.</title>`)
	wire.use(lines(hostile, object{}))
	tb.click(`#search button`)
	tb.awaitText(`#rows .subject`, attack)
	tb.awaitText(`#rows .sender`, attack)
	tb.awaitText(`#rows .snippet`, "<b>"+attack)
	harmless()

	tb.click(`#rows .message button`)
	tb.awaitText(`#reader-title`, attack)
	tb.awaitText(`#reader-content dd`, attack)
	tb.awaitText(`#reader-content`, "The message is HTML; this is the text in it.")
	tb.awaitText(`#reader .text`, "Read me.")
	if text := evaluate[string](tb, `document.querySelector('#reader .text').innerText`); strings.TrimSpace(text) != "Read me." {
		t.Errorf("the text is %q", text)
	}
	harmless()

	plain := mailOf("1", "a@example.org", "Plain", "", attack)
	plain["payload"].(object)["mimeType"] = "text/plain"
	wire.use(lines(plain, object{}))
	tb.click(`#reader-close`)
	tb.click(`#rows .message button`)
	tb.awaitText(`#reader .text`, attack)
	harmless()

	tb.click(`#reader-close`)
	for _, tt := range []struct {
		answer listAnswer
		want   string
	}{
		{lines(object{}), "This message has been deleted."},
		{lines(object{"id": "1", "threadId": "1", "too_large": true, "sizeEstimate": 12_345_678}, object{}), "too large to be shown: 12 MB"},
		{lines(object{"id": "1", "threadId": "1", "unavailable": true}, object{}), "Gmail could not give this message."},
	} {
		wire.useOnce(tt.answer)
		tb.click(`#rows .message button`)
		tb.awaitText(`#reader-content`, tt.want)
		tb.click(`#reader-close`)
	}
	wire.use(nil)
	tb.tryTrial("Messages that can’t be had")
	tb.awaitText(`#rows .missing`, "Gmail could not give this message.")
	tb.await(`[...document.querySelectorAll('#rows .missing')].some((row) => row.innerText.includes('too large to be listed'))`)
	tb.awaitList()
}

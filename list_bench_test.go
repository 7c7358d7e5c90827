package gmailgrant

import (
	"fmt"
	"testing"
	"time"

	"example.com/gmailgrant/internal/fakegoogle"
)

// BenchmarkMetadata250 compares the metadata of 250 messages in one listing
// with a call for each of them, at 40 ms a call, in the same run.
func BenchmarkMetadata250(b *testing.B) {
	const n, latency = 250, 40 * time.Millisecond
	in := newInbox(b, n)
	all := in.ids(n)
	for _, op := range []string{"gmail.list", "gmail.batch"} {
		in.w.google.Inject(fakegoogle.Fault{Op: op, Delay: latency})
	}
	var together, oneByOne time.Duration
	rounds := 0
	for b.Loop() {
		rounds++
		together += took(func() { in.get(fmt.Sprintf("%s&format=metadata&maxResults=%d", everything, n)).messages(b) })
		oneByOne += took(func() {
			in.get(everything).messages(b)
			for _, id := range all {
				in.get(idQuery("metadata", id)).messages(b)
			}
		})
	}
	b.ReportMetric(0, "ns/op") // the sum of both says nothing
	b.ReportMetric(together.Seconds()*1000/float64(rounds), "ms/listing")
	b.ReportMetric(oneByOne.Seconds()*1000/float64(rounds), "ms/one-by-one")
	b.ReportMetric(oneByOne.Seconds()/together.Seconds(), "ratio")
}

func took(do func()) time.Duration {
	start := time.Now()
	do()
	return time.Since(start)
}

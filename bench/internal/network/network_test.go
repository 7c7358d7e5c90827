package network_test

import (
	"bufio"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"example.com/gmailgrant/bench/internal/network"
)

// A line is a listener to which one end of a pipe connects.
type line struct {
	net.Listener
	ends chan net.Conn
}

func (l line) Accept() (net.Conn, error) { return <-l.ends, nil }

const roundTrip = 10 * time.Millisecond

// echo answers each line with the same, as far away as roundTrip.
func echo(t *testing.T) *bufio.ReadWriter {
	t.Helper()
	client, server := net.Pipe()
	l := line{ends: make(chan net.Conn, 1)}
	l.ends <- server
	conn, err := network.Far(l, roundTrip, time.Sleep).Accept()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer conn.Close()
		for r := bufio.NewReader(conn); ; {
			text, err := r.ReadString('\n')
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte(text))
		}
	}()
	t.Cleanup(func() { client.Close(); synctest.Wait() })
	return bufio.NewReadWriter(bufio.NewReader(client), bufio.NewWriter(client))
}

// TestFar runs on a clock that only moves when everything waits: connecting costs a
// round trip, and so does every question.
func TestFar(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		c := echo(t)
		for n := range 3 {
			_, _ = c.WriteString("question\n")
			if err := c.Flush(); err != nil {
				t.Fatal(err)
			}
			if answer, err := c.ReadString('\n'); err != nil || answer != "question\n" {
				t.Fatalf("%q, %v", answer, err)
			}
			if got, want := time.Since(start), time.Duration(n+2)*roundTrip; got != want {
				t.Errorf("answer %d after %s, want %s", n, got, want)
			}
		}
	})
}

// TestFarAtOnce: what is sent together arrives together, in order.
func TestFarAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := echo(t)
		start := time.Now()
		_, _ = c.WriteString("1\n2\n3\n")
		if err := c.Flush(); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"1\n", "2\n", "3\n"} {
			if got, err := c.ReadString('\n'); err != nil || got != want {
				t.Errorf("%q, %v; want %q", got, err, want)
			}
		}
		if got := time.Since(start); got != 2*roundTrip {
			t.Errorf("all after %s", got)
		}
	})
}

func TestNear(t *testing.T) {
	l := line{}
	if got := network.Far(l, 0, time.Sleep); got != net.Listener(l) {
		t.Error("no distance, yet another listener")
	}
}

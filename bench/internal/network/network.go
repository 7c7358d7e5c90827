// Package network puts a distance between a server and its clients.
package network

import (
	"net"
	"os"
	"sync"
	"time"
)

// Far returns a listener whose connections are as far away as the round-trip time
// says: each chunk of bytes is half of it on its way, in either direction, and the
// first ones arrive another round trip later, which is what connecting costs. It
// costs no bandwidth. Clients must speak first. sleep is time.Sleep, or one that is
// more exact.
func Far(l net.Listener, roundTrip time.Duration, sleep func(time.Duration)) net.Listener {
	if roundTrip <= 0 {
		return l
	}
	return &farListener{l, roundTrip, sleep}
}

type farListener struct {
	net.Listener
	roundTrip time.Duration
	sleep     func(time.Duration)
}

func (l *farListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &farConn{Conn: conn, oneWay: l.roundTrip / 2, connected: time.Now().Add(l.roundTrip)}
	c.in, c.out = newPipe(l.sleep), newPipe(l.sleep)
	go c.receive()
	go c.deliver()
	return c, nil
}

// A farConn passes bytes on in both directions, late.
type farConn struct {
	net.Conn
	oneWay    time.Duration
	connected time.Time
	in, out   *pipe
}

func (c *farConn) Read(b []byte) (int, error) { return c.in.read(b) }

func (c *farConn) Write(b []byte) (int, error) {
	return c.out.write(append([]byte(nil), b...), time.Now().Add(c.oneWay))
}

// Close cuts the connection once what was written has arrived.
func (c *farConn) Close() error {
	c.out.end(net.ErrClosed)
	return nil
}

// SetDeadline and its like do nothing: who reads or writes here waits until the
// peer acts or the process ends.
func (c *farConn) SetDeadline(time.Time) error      { return nil }
func (c *farConn) SetReadDeadline(time.Time) error  { return nil }
func (c *farConn) SetWriteDeadline(time.Time) error { return nil }

func (c *farConn) receive() {
	for {
		b := make([]byte, 32<<10)
		n, err := c.Conn.Read(b)
		from := time.Now()
		if from.Before(c.connected) {
			from = c.connected
		}
		if n > 0 {
			_, _ = c.in.write(b[:n], from.Add(c.oneWay))
		}
		if err != nil {
			c.in.end(err)
			return
		}
	}
}

func (c *farConn) deliver() {
	b := make([]byte, 64<<10)
	for {
		n, err := c.out.read(b)
		if err == nil {
			_, err = c.Conn.Write(b[:n])
		}
		if err != nil {
			_ = c.Conn.Close()
			c.in.end(err)
			return
		}
	}
}

// A pipe holds chunks of bytes until their time has come.
type pipe struct {
	mu     sync.Mutex
	filled *sync.Cond
	chunks []chunk
	err    error // after the last chunk
	sleep  func(time.Duration)
}

type chunk struct {
	bytes []byte
	due   time.Time
}

func newPipe(sleep func(time.Duration)) *pipe {
	p := &pipe{sleep: sleep}
	p.filled = sync.NewCond(&p.mu)
	return p
}

// write takes b over.
func (p *pipe) write(b []byte, due time.Time) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return 0, os.ErrClosed
	}
	p.chunks = append(p.chunks, chunk{b, due})
	p.filled.Signal()
	return len(b), nil
}

func (p *pipe) end(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		p.err = err
	}
	p.filled.Broadcast()
}

// read waits for the first chunk to be due. It has one caller at a time.
func (p *pipe) read(b []byte) (int, error) {
	p.mu.Lock()
	for len(p.chunks) == 0 && p.err == nil {
		p.filled.Wait()
	}
	if len(p.chunks) == 0 {
		defer p.mu.Unlock()
		return 0, p.err
	}
	due := p.chunks[0].due
	p.mu.Unlock()
	p.sleep(time.Until(due))

	p.mu.Lock()
	defer p.mu.Unlock()
	n := copy(b, p.chunks[0].bytes)
	if p.chunks[0].bytes = p.chunks[0].bytes[n:]; len(p.chunks[0].bytes) == 0 {
		p.chunks = p.chunks[1:]
	}
	return n, nil
}

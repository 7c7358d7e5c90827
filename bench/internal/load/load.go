// Package load sends requests over HTTP/1.1 and costs little itself: it shares a
// machine with the server that is measured.
package load

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A Conn is a connection to a server. It is for one goroutine.
type Conn struct {
	conn net.Conn
	r    *bufio.Reader
	body bytes.Buffer
}

// Dial connects to host:port.
func Dial(address string) (*Conn, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	return &Conn{conn: conn, r: bufio.NewReaderSize(conn, 64<<10)}, nil
}

// Close closes the connection.
func (c *Conn) Close() error { return c.conn.Close() }

// An Answer is what came back. Its Body is good until the next request.
type Answer struct {
	Status    int
	Body      []byte
	FirstByte time.Duration // since the request was sent
}

// Do sends a request and reads the answer to its end.
func (c *Conn) Do(request []byte, timeout time.Duration) (Answer, error) {
	start := time.Now()
	if err := c.conn.SetDeadline(start.Add(timeout)); err != nil {
		return Answer{}, err
	}
	if _, err := c.conn.Write(request); err != nil {
		return Answer{}, err
	}
	if _, err := c.r.Peek(1); err != nil {
		return Answer{}, err
	}
	a := Answer{FirstByte: time.Since(start)}
	err := c.read(&a)
	return a, err
}

func (c *Conn) read(a *Answer) error {
	line, err := c.line()
	if err != nil {
		return err
	}
	if len(line) < len("HTTP/1.1 200") {
		return fmt.Errorf("%q is no status line", line)
	}
	if a.Status, err = strconv.Atoi(line[9:12]); err != nil {
		return fmt.Errorf("%q is no status line", line)
	}
	length, chunked, err := c.header()
	if err != nil {
		return err
	}
	c.body.Reset()
	switch {
	case chunked:
		err = c.chunks()
	case length > 0:
		_, err = io.CopyN(&c.body, c.r, length)
	}
	a.Body = c.body.Bytes()
	return err
}

// header reads up to the body and tells how long that is.
func (c *Conn) header() (length int64, chunked bool, err error) {
	for {
		line, err := c.line()
		if err != nil || line == "" {
			return length, chunked, err
		}
		name, value, _ := strings.Cut(line, ": ")
		switch {
		case strings.EqualFold(name, "Content-Length"):
			if length, err = strconv.ParseInt(value, 10, 64); err != nil {
				return 0, false, err
			}
		case strings.EqualFold(name, "Transfer-Encoding"):
			chunked = true
		}
	}
}

func (c *Conn) chunks() error {
	for {
		line, err := c.line()
		if err != nil {
			return err
		}
		size, err := strconv.ParseInt(line, 16, 64)
		if err != nil {
			return err
		}
		if _, err := io.CopyN(&c.body, c.r, size); err != nil {
			return err
		}
		if _, err := c.line(); err != nil || size == 0 {
			return err
		}
	}
}

func (c *Conn) line() (string, error) {
	line, err := c.r.ReadSlice('\n')
	return strings.TrimRight(string(line), "\r\n"), err
}

// A Plan is a load: so many connections, each of which sends the request again
// once it has the answer.
type Plan struct {
	Address     string
	Request     []byte
	Connections int
	Duration    time.Duration
	Timeout     time.Duration      // of a request
	Check       func(Answer) error // of each connection's first answer; later ones need the same status
}

// A Result counts what was answered within the duration.
type Result struct {
	Requests  int
	Elapsed   time.Duration
	FirstByte time.Duration // sum over all requests
}

// PerSecond are the requests answered in a second.
func (r Result) PerSecond() float64 { return float64(r.Requests) / r.Elapsed.Seconds() }

// Run carries out a plan. One wrong answer fails it.
func Run(p Plan) (Result, error) {
	results := make([]Result, p.Connections)
	errs := make([]error, p.Connections)
	start := time.Now()
	var group sync.WaitGroup
	var failed atomic.Bool
	for i := range p.Connections {
		group.Go(func() {
			if results[i], errs[i] = p.repeat(start.Add(p.Duration), &failed); errs[i] != nil {
				failed.Store(true)
			}
		})
	}
	group.Wait()
	total := Result{Elapsed: time.Since(start)}
	for _, r := range results {
		total.Requests += r.Requests
		total.FirstByte += r.FirstByte
	}
	return total, errors.Join(errs...)
}

// repeat sends at least one request, and no more once another connection has failed.
func (p Plan) repeat(until time.Time, failed *atomic.Bool) (Result, error) {
	c, err := Dial(p.Address)
	if err != nil {
		return Result{}, err
	}
	defer c.Close()
	var r Result
	status := 0
	for r.Requests == 0 || time.Now().Before(until) && !failed.Load() {
		a, err := c.Do(p.Request, p.Timeout)
		if err == nil && r.Requests == 0 {
			status, err = a.Status, p.Check(a)
		}
		if err == nil && a.Status != status {
			err = fmt.Errorf("status %d: %.300s", a.Status, a.Body)
		}
		if err != nil {
			return r, err
		}
		r.Requests++
		r.FirstByte += a.FirstByte
	}
	return r, nil
}

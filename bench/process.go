//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"syscall"
	"time"

	"example.com/gmailgrant/bench/internal/load"
	"example.com/gmailgrant/bench/internal/machine"
)

// A process is a program that runs.
type process struct {
	cmd     *exec.Cmd
	address string
	began   time.Time // just before it was started
	log     string    // file of what it prints
	gentle  bool      // it is asked to end, rather than killed
	exited  chan struct{}
}

const (
	startTimeout = 30 * time.Second
	// knock is how often a new process is asked whether it listens.
	knock = 100 * time.Microsecond
)

// start starts a program on the CPU of what is measured, within the limit unless
// that is nil.
func (l *lab) start(p program, limit *machine.Limit) (*process, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	log, err := os.CreateTemp(l.dir, "log-")
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.CommandContext(l.ctx, p.binary, p.args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(p.env, "PORT="+port)
	if l.google != nil {
		cmd.Env = append(cmd.Env, "GCE_METADATA_HOST="+l.google.Metadata)
	}
	started := &process{cmd: cmd, address: net.JoinHostPort("127.0.0.1", port), log: log.Name(), gentle: p.gentle, exited: make(chan struct{})}
	started.began = time.Now()
	if err := machine.Start(cmd, l.cpus, limit); err != nil {
		return nil, err
	}
	go func() {
		_ = cmd.Wait() // it is killed
		close(started.exited)
	}()
	return started, nil
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}

// connect returns once the process takes connections. None of the programs says
// when that is, so it is asked.
func (p *process) connect() (*load.Conn, error) {
	for began := time.Now(); time.Since(began) < startTimeout; {
		c, err := load.Dial(p.address)
		if err == nil {
			return c, nil
		}
		select {
		case <-p.exited:
			return nil, p.failed(errors.New("it ended"))
		default:
			machine.Sleep(knock)
		}
	}
	return nil, p.failed(errors.New("it does not listen"))
}

// listens waits until the process does.
func (p *process) listens() error {
	c, err := p.connect()
	if err != nil {
		return err
	}
	return c.Close()
}

// failed adds the end of the log to an error.
func (p *process) failed(err error) error {
	b, _ := os.ReadFile(p.log)
	return fmt.Errorf("%s: %w\n%s", p.cmd.Path, err, bytes.TrimSpace(b[max(0, len(b)-2000):]))
}

func (p *process) url(path string, query url.Values) string {
	return (&url.URL{Scheme: "http", Host: p.address, Path: "/" + path, RawQuery: query.Encode()}).String()
}

// stop ends the process and returns when it has ended.
func (p *process) stop() {
	signal := syscall.SIGKILL
	if p.gentle {
		signal = syscall.SIGTERM
	}
	_ = p.cmd.Process.Signal(signal)
	<-p.exited
	_ = os.Remove(p.log)
}

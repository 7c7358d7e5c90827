//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Distances. A call to Google takes the round-trip time and the time at Google.
const (
	roundTrip = 10 * time.Millisecond
	callTime  = 40 * time.Millisecond
	oneCall   = roundTrip + callTime
)

// A network is a Google and what is measured before it.
type network struct {
	roundTrip, callTime time.Duration
	tokenTime           time.Duration
	series              []series
}

// A google is a stub that runs, with a user who has signed in.
type google struct {
	network
	cmd      *exec.Cmd
	stdin    io.Closer
	Direct   string // the stand-in itself: no TLS, no distance, no delay
	Metadata string
	Client   json.RawMessage // the client secret, with addresses at Direct

	session     string // of the functions
	accessToken string // of Gmail
}

const (
	user       = "100000000000000000001" // of the stub
	baseURL    = "https://functions.bench.example"
	frontEnd   = "https://app.bench.example"
	returnURL  = frontEnd + "/"
	project    = "bench"
	gmailScope = "https://www.googleapis.com/auth/gmail.readonly"
)

func (l *lab) startGoogle(n network) (*google, error) {
	cmd := exec.CommandContext(l.ctx, filepath.Join(l.dir, "stub"),
		"-rtt", n.roundTrip.String(), "-call", n.callTime.String(), "-token", n.tokenTime.String(),
		"-messages", fmt.Sprint(l.size.mailbox), "-callback", baseURL+"/callback",
		"-cert", filepath.Join(l.dir, "cert.pem"), "-key", filepath.Join(l.dir, "key.pem"))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	g := &google{network: n, cmd: cmd, stdin: stdin}
	if err := json.NewDecoder(stdout).Decode(g); err != nil {
		g.stop()
		return nil, err
	}
	if err := l.signIn(g); err != nil {
		g.stop()
		return nil, fmt.Errorf("signing in: %w", err)
	}
	return g, nil
}

func (g *google) stop() {
	_ = g.stdin.Close()
	_ = g.cmd.Process.Kill()
	_ = g.cmd.Wait()
}

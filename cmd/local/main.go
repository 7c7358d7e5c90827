// Command local runs the whole program on one machine, with nothing to install
// and no account anywhere:
//
//	go run ./cmd/local
//
// It starts a stand-in for Google, the three functions under the functions
// framework, and a demo page that uses them as a front end would. With
//
//	go run ./cmd/local -client-secret client_secret.json
//
// signing in and mail are Google's own, and the stand-in only keeps the secrets
// and the grants, in a file that a restart finds again.
//
// Every setting of the functions can be given in the environment; this command
// fills in those that are not. Everything it opens is on loopback.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/GoogleCloudPlatform/functions-framework-go/funcframework"

	"example.com/gmailgrant" // registers the functions
)

// host is the name in every address of this command. Cookies, redirect URIs and
// origins depend on its spelling, so there is one.
const host = "localhost"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the process at once
	err := run(ctx, os.Args[1:], os.Getenv, os.Stdout)
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, err)
	if errors.As(err, new(usageError)) {
		os.Exit(2)
	}
	os.Exit(1)
}

// run serves until ctx is done. It changes the environment of the process, which
// is where the functions read their settings, once per process: don't call it
// twice.
func run(ctx context.Context, args []string, getenv func(string) string, stdout io.Writer) (err error) {
	o, err := parseOptions(args, getenv)
	if errors.Is(err, errHelp) {
		_, err = io.WriteString(stdout, usage())
		return err
	}
	if err != nil {
		return err
	}
	ports, err := reservePorts(o)
	if err != nil {
		return err
	}
	defer ports.close()

	place := newPlace(getenv, portOf(ports.functions), portOf(ports.page))
	google, err := startGoogle(o, place, getenv)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, google.Close()) }()

	greeting := banner(place, google, getenv) // before the environment has more than the user's choice
	if err := setEnvironment(settings(place, google, getenv)); err != nil {
		return err
	}
	config, err := gmailgrant.LoadConfig(os.Getenv)
	if err != nil {
		return err // now, rather than with the first request
	}
	return serve(ctx, ports, newPageHandler(place, google, newPopup(google, config)), func() { io.WriteString(stdout, greeting) })
}

// serve runs the functions and the page until ctx is done or one of them fails, and
// calls ready once both answer.
func serve(ctx context.Context, ports ports, pageHandler http.Handler, ready func()) error {
	failed := make(chan error, 2)
	page := &http.Server{Handler: pageHandler, ReadHeaderTimeout: 10 * time.Second}
	go func() { failed <- page.Serve(ports.page) }()
	defer page.Close()

	address := ports.functions.Addr().String()
	if err := ports.functions.Close(); err != nil {
		return err
	}
	go func() { failed <- funcframework.StartHostPort(host, portOf(ports.functions)) }()
	if err := awaitListener(ctx, address, failed); err != nil {
		return err
	}
	ready()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return nil
	}
}

// awaitListener returns as soon as address takes connections: the framework opens
// its listener itself and doesn't tell.
func awaitListener(ctx context.Context, address string, failed <-chan error) error {
	const interval = 5 * time.Millisecond
	for {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			return conn.Close()
		}
		select {
		case err := <-failed:
			return err
		case <-ctx.Done():
			return nil
		case <-time.After(interval):
		}
	}
}

// setEnvironment is how the functions get their settings. FUNCTION_TARGET would
// make the framework serve one function instead of three.
func setEnvironment(settings []setting) error {
	if err := os.Unsetenv("FUNCTION_TARGET"); err != nil {
		return err
	}
	for _, s := range settings {
		if err := os.Setenv(s.name, s.value); err != nil {
			return err
		}
	}
	return nil
}

// ports are the listeners that exist before anything is started, so that a port
// that is taken stops the command while there is nothing to clean up. The one of
// the functions is closed again for the framework, which opens its own.
type ports struct {
	functions, page net.Listener
}

func reservePorts(o options) (ports, error) {
	functions, err := listen(o.port, "-port or PORT")
	if err != nil {
		return ports{}, err
	}
	page, err := listen(o.pagePort, "-page-port")
	if err != nil {
		functions.Close()
		return ports{}, err
	}
	return ports{functions, page}, nil
}

// close is for the way out: closing what is closed already does no harm.
func (p ports) close() {
	p.functions.Close()
	p.page.Close()
}

func listen(port int, setBy string) (net.Listener, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return nil, portError(port, setBy, err)
	}
	return l, nil
}

func portError(port int, setBy string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("port %d is taken by another program: stop that one, or choose another port with %s", port, setBy)
	}
	return fmt.Errorf("port %d can't be used; choose another with %s: %w", port, setBy, err)
}

func portOf(l net.Listener) string {
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

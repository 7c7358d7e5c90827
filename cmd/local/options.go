package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// options are what the command line says, and PORT.
type options struct {
	port         int    // of the functions; 0: the system chooses
	pagePort     int    // of the demo page; 0: the system chooses
	googlePort   int    // of the stand-in; 0: the system chooses
	clientSecret string // file with a real client secret; "": the stand-in's
	data         string // file for secrets and grants; "": memory
}

// errHelp says that the usage was asked for.
var errHelp = errors.New("help")

// usageError is a mistake on the command line.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() + "\n\n" + usage() }
func (e usageError) Unwrap() error { return e.err }

// newFlags declares the flags. PORT, when set, is the default of -port.
func newFlags(o *options, defaultPort int) *flag.FlagSet {
	flags := flag.NewFlagSet("local", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.IntVar(&o.port, "port", defaultPort, "`port` of the three functions; 0 lets the system choose, as for every port")
	flags.IntVar(&o.pagePort, "page-port", 8081, "`port` of the demo page")
	flags.IntVar(&o.googlePort, "google-port", 0, "`port` of the stand-in for Google")
	flags.StringVar(&o.clientSecret, "client-secret", "", "`file` with a client secret as downloaded from Google's console:\nreal sign-in, real Gmail")
	flags.StringVar(&o.data, "data", "", "`file` that keeps secrets and grants over a restart; default in memory,\nand with -client-secret a file in the user's configuration folder")
	return flags
}

func parseOptions(args []string, getenv func(string) string) (options, error) {
	port := 8080
	if v := getenv("PORT"); v != "" {
		var err error
		if port, err = strconv.Atoi(v); err != nil {
			return options{}, usageError{errors.New("PORT is not a number")}
		}
	}
	var o options
	flags := newFlags(&o, port)
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return options{}, errHelp
	} else if err != nil {
		return options{}, usageError{err}
	}
	if flags.NArg() > 0 {
		return options{}, usageError{fmt.Errorf("unexpected argument %q", flags.Arg(0))}
	}
	if err := o.check(); err != nil {
		return options{}, usageError{err}
	}
	return o.withDataFile()
}

func (o options) check() error {
	const highest = 1<<16 - 1
	for _, port := range []int{o.port, o.pagePort, o.googlePort} {
		if port < 0 || port > highest {
			return fmt.Errorf("port %d is not between 0 and %d", port, highest)
		}
	}
	return nil
}

// withDataFile makes sure that grants of real people outlive the process.
func (o options) withDataFile() (options, error) {
	if o.data != "" || o.clientSecret == "" {
		return o, nil
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return options{}, fmt.Errorf("no folder for the data: %w; name a file with -data", err)
	}
	o.data = filepath.Join(dir, "gmailgrant", "local.json")
	return o, nil
}

func usage() string {
	var b strings.Builder
	b.WriteString("usage: go run ./cmd/local [flags]\n\n" +
		"Runs the three functions, a stand-in for Google and a demo page on this machine.\n" +
		"The functions' settings are read from the environment; those missing are filled in.\n\n")
	var o options
	flags := newFlags(&o, 8080)
	flags.SetOutput(&b)
	flags.PrintDefaults()
	return b.String()
}

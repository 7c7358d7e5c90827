//go:build linux

// Command bench measures the functions beside what else does their job, and writes
// a table and a plot:
//
//	go run ./bench
//
// README.md says what is measured, and how.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"

	"example.com/gmailgrant/bench/internal/machine"
)

// options are the flags.
type options struct {
	rounds int
	quick  bool
	only   *regexp.Regexp // series
	out    string         // folder of the results
	built  string         // folder of what is measured; empty: it has to be built

	profiles string // folder for them; empty: none are taken
}

func main() {
	log.SetFlags(0)
	o := parseFlags()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	measure := inside
	if o.built == "" {
		measure = outside
	}
	if err := measure(ctx, o); err != nil {
		log.Fatal("bench: ", err)
	}
}

func parseFlags() options {
	var o options
	flag.IntVar(&o.rounds, "rounds", 5, "rounds of the rows that take longest; the others have more")
	flag.BoolVar(&o.quick, "quick", false, "only find out whether everything answers: one short round, no results kept")
	flag.StringVar(&o.out, "out", "bench/results", "folder for results.md, results.json and results.svg")
	flag.StringVar(&o.profiles, "profile", "", "folder for CPU profiles of the functions, one a process, instead of results")
	flag.StringVar(&o.built, "built", "", "of the command's own use")
	only := flag.String("run", "", "regular expression: measure these series only")
	flag.Parse()
	if flag.NArg() > 0 || o.rounds < 1 {
		flag.Usage()
		os.Exit(2)
	}
	var err error
	if o.only, err = regexp.Compile(*only); err != nil {
		log.Fatal("bench: -run: ", err)
	}
	return o
}

// outside builds everything, while there is a network, and then runs this program
// again inside a network that leads nowhere and where Google's names are the stub's.
func outside(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp("", "gmailgrant-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := build(ctx, dir); err != nil {
		return err
	}
	for _, folder := range []*string{&o.out, &o.profiles} {
		if *folder == "" {
			continue
		}
		if *folder, err = filepath.Abs(*folder); err != nil {
			return err
		}
	}
	cpus, err := machine.CPUs()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "/proc/self/exe",
		"-built", dir, "-out", o.out, "-profile", o.profiles, "-run", o.only.String(), fmt.Sprintf("-rounds=%d", o.rounds), fmt.Sprintf("-quick=%t", o.quick))
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", measuredCPU, cpus[len(cpus)-1]))
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // it has others to stop
	machine.Isolate(cmd)
	others := cpus[:max(1, len(cpus)-1)] // for this program and the stub
	if err := machine.Start(cmd, others, nil); err != nil {
		return fmt.Errorf("a network of its own: %w (as root, or where users may make namespaces, it can be had)", err)
	}
	return cmd.Wait()
}

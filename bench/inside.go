//go:build linux

package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"example.com/gmailgrant/bench/internal/machine"
	"example.com/gmailgrant/bench/internal/report"
)

// measuredCPU is the variable that names the CPU of what is measured. This program
// and the stub run on the others.
const measuredCPU = "GMAILGRANT_BENCH_CPU"

// A lab is where everything is measured.
type lab struct {
	ctx   context.Context
	dir   string // of what was built
	cpus  []int  // of what is measured
	sixth *machine.Limit
	size  size

	profiles string  // folder for them; empty: none are taken
	profiled int     // programs so far
	google   *google // the stub that runs
}

// A size says how much is asked for.
type size struct {
	mailbox, details int           // messages
	connections      int           // of a load
	load             time.Duration // of a round of load
}

var (
	fullSize  = size{mailbox: 20_000, details: 250, connections: 80, load: 1500 * time.Millisecond}
	quickSize = size{mailbox: 1_500, details: 25, connections: 8, load: 200 * time.Millisecond}
)

// inside measures, in the network that [outside] made.
func inside(ctx context.Context, o options) error {
	l, err := newLab(ctx, o)
	if err != nil {
		return err
	}
	defer l.sixth.Close()
	results := report.New()
	for _, n := range networks {
		if err := l.measure(n, o, results); err != nil {
			return err
		}
	}
	table := results.Rows(rows(l.size))
	if all := len(rows(l.size)); o.only.String() == "" && len(table) < all {
		return fmt.Errorf("%d rows of %d have figures", len(table), all)
	}
	if o.quick {
		log.Printf("everything answers; %d rows would have figures", len(table))
		return nil
	}
	fmt.Print("\n", report.Table(table))
	if o.profiles != "" {
		return nil
	}
	return report.Write(o.out, table, results, l.conditions(o))
}

func newLab(ctx context.Context, o options) (*lab, error) {
	cpu, err := strconv.Atoi(os.Getenv(measuredCPU))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", measuredCPU, err)
	}
	hosts := filepath.Join(o.built, "hosts")
	names := "127.0.0.1 localhost " + strings.Join(googleHosts, " ") + "\n"
	if err := os.WriteFile(hosts, []byte(names), 0o644); err != nil {
		return nil, err
	}
	if err := machine.Inhabit(hosts); err != nil {
		return nil, err
	}
	l := &lab{ctx: ctx, dir: o.built, cpus: []int{cpu}, sixth: machine.NewLimit(6), size: fullSize, profiles: o.profiles}
	if o.quick {
		l.size = quickSize
	}
	return l, nil
}

// measure runs the series of one network.
func (l *lab) measure(n network, o options, results *report.Results) error {
	var chosen []series
	for _, s := range n.series {
		if o.only.MatchString(s.name) {
			chosen = append(chosen, s)
		}
	}
	if len(chosen) == 0 {
		return nil
	}
	google, err := l.startGoogle(n)
	if err != nil {
		return fmt.Errorf("stub: %w", err)
	}
	defer google.stop()
	l.google = google
	for _, s := range chosen {
		rounds := s.often * o.rounds
		if o.quick {
			rounds = 1
		}
		start := time.Now()
		if err := l.run(s, rounds, results); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		log.Printf("%-18s %2d rounds, %.1f s", s.name, rounds, time.Since(start).Seconds())
	}
	return nil
}

// conditions is what a reader has to know of a run.
func (l *lab) conditions(o options) []string {
	return []string{
		time.Now().UTC().Format("2 January 2006 15:04 UTC"),
		machine.Description(),
		fmt.Sprintf("-rounds %d", o.rounds),
		"a sixth of a CPU by " + l.sixth.Way,
	}
}

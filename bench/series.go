//go:build linux

package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"example.com/gmailgrant/bench/internal/load"
	"example.com/gmailgrant/bench/internal/machine"
	"example.com/gmailgrant/bench/internal/report"
)

// A series is measured together, in rounds: each probe once a round, in an order
// that changes.
type series struct {
	name   string
	often  int // rounds for each one of -rounds
	probes func(*lab) []probe
}

// A probe measures one program in one way.
type probe struct {
	name    string
	prepare func(r *running) error // before the rounds; nil: nothing
	measure func(r *running) error
}

// running is a probe under way.
type running struct {
	*lab
	warm   *process // kept between rounds, if the probe keeps one
	record func(metric string, value float64)
}

func (l *lab) run(s series, rounds int, results *report.Results) (err error) {
	probes := s.probes(l)
	states := make([]*running, len(probes))
	defer func() {
		for _, r := range states {
			if r != nil && r.warm != nil {
				r.warm.stop()
			}
		}
	}()
	for i, p := range probes {
		states[i] = &running{lab: l, record: func(metric string, value float64) { results.Add(s.name+"/"+p.name+"/"+metric, value) }}
		if p.prepare == nil {
			continue
		}
		if err := p.prepare(states[i]); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	for range rounds {
		for _, i := range rand.Perm(len(probes)) {
			if err := l.ctx.Err(); err != nil {
				return err
			}
			if err := probes[i].measure(states[i]); err != nil {
				return fmt.Errorf("%s: %w", probes[i].name, err)
			}
		}
	}
	return nil
}

// start keeps a process that has answered the request a few times.
func (r *running) start(p program, limit *machine.Limit, warmUp request) error {
	started, err := r.lab.start(p, limit)
	if err != nil {
		return err
	}
	r.warm = started
	c, err := started.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	for range 3 {
		if _, err := started.ask(c, warmUp); err != nil {
			return err
		}
	}
	return nil
}

// ask sends the request and checks the answer.
func (p *process) ask(c *load.Conn, q request) (load.Answer, error) {
	a, err := c.Do(q.bytes, answerTimeout)
	if err == nil {
		err = q.check(a)
	}
	if err != nil {
		return a, p.failed(err)
	}
	return a, nil
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// fresh measures from the start of a process to the end of its first answer.
func fresh(name string, p program, limit *machine.Limit, q request, before func(program) error) probe {
	return probe{name: name, measure: func(r *running) error {
		if before != nil {
			if err := before(p); err != nil {
				return err
			}
		}
		started, err := r.lab.start(p, limit)
		if err != nil {
			return err
		}
		defer started.stop()
		c, err := started.connect()
		if err != nil {
			return err
		}
		defer c.Close()
		r.record("listening ms", milliseconds(time.Since(started.began)))
		if _, err := started.ask(c, q); err != nil {
			return err
		}
		r.record("ms", milliseconds(time.Since(started.began)))
		return nil
	}}
}

// evict is for fresh.
func evict(p program) error { return machine.Evict(p.binary) }

// warm measures one request to a process that has answered others before.
func warm(name string, p program, warmUp, q request) probe {
	return probe{
		name:    name,
		prepare: func(r *running) error { return r.start(p, nil, warmUp) },
		measure: func(r *running) error {
			c, err := r.warm.connect()
			if err != nil {
				return err
			}
			defer c.Close()
			start := time.Now()
			if _, err := r.warm.ask(c, q); err != nil {
				return err
			}
			r.record("ms", milliseconds(time.Since(start)))
			return nil
		},
	}
}

// warmUpRounds is how much load comes before what is measured: Node's compiler takes
// its time.
const warmUpRounds = 4

// loaded measures a warm process under as many connections as told.
func loaded(name string, p program, limit *machine.Limit, connections int, q request) probe {
	return probe{
		name: name,
		prepare: func(r *running) error {
			if err := r.start(p, limit, q); err != nil {
				return err
			}
			plan := r.plan(connections, q)
			plan.Duration *= warmUpRounds
			_, err := load.Run(plan)
			return err
		},
		measure: func(r *running) error { return r.load(connections, q) },
	}
}

func (r *running) plan(connections int, q request) load.Plan {
	return load.Plan{
		Address: r.warm.address, Request: q.bytes, Check: q.check,
		Connections: connections, Duration: r.size.load, Timeout: answerTimeout,
	}
}

func (r *running) load(connections int, q request) error {
	pid := r.warm.cmd.Process.Pid
	before, err := machine.CPUTime(pid)
	if err != nil {
		return err
	}
	result, err := load.Run(r.plan(connections, q))
	if err != nil {
		return r.warm.failed(err)
	}
	after, err := machine.CPUTime(pid)
	if err != nil {
		return err
	}
	requests := float64(result.Requests)
	r.record("requests/s", result.PerSecond())
	r.record("CPU µs", (after-before).Seconds()*1e6/requests)
	r.record("CPU %", (after-before).Seconds()/result.Elapsed.Seconds()*100)
	r.record("first byte ms", milliseconds(result.FirstByte)/requests)
	return nil
}

// peak measures the most memory that a fresh process has when it answers as many
// requests at once as told, each one once.
func peak(name string, p program, connections int, q request) probe {
	return probe{name: name, measure: func(r *running) error {
		if err := r.start(p, nil, preflight()); err != nil {
			return err
		}
		defer func() { r.warm.stop(); r.warm = nil }()
		plan := r.plan(connections, q)
		plan.Duration = 0
		result, err := load.Run(plan)
		if err != nil {
			return r.warm.failed(err)
		}
		if result.Requests != connections {
			return errors.New("not each connection got one answer")
		}
		bytes, err := machine.PeakMemory(r.warm.cmd.Process.Pid)
		if err != nil {
			return err
		}
		r.record("MB", float64(bytes)/1e6)
		r.record("ms", milliseconds(result.Elapsed))
		return nil
	}}
}

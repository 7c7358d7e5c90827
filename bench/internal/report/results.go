// Package report makes a table and a plot of what was measured.
package report

import (
	"cmp"
	"slices"
)

// Results are the values measured, by "series/probe/metric", in the order in which
// they were measured: those of one place belong to the same round.
type Results struct {
	Samples map[string][]float64 `json:"samples"`
}

// New returns empty results.
func New() *Results { return &Results{make(map[string][]float64)} }

// Add adds a value.
func (r *Results) Add(name string, value float64) {
	r.Samples[name] = append(r.Samples[name], value)
}

// A Goal is a row of the table to be made: what is measured, beside what, and what
// their ratio must be.
type Goal struct {
	Title, Unit string
	Subject     string  // name of the samples
	Reference   string  // the same; empty: Constant
	Constant    float64 // in the unit
	Versus      string  // what the reference is
	Most, Least float64 // of the ratio; 0: no such limit. With neither there is no goal
}

// A Row is a goal with what was measured. Ratio is that of the medians; its spread
// that of the rounds.
type Row struct {
	Goal
	Value, Base, Ratio Spread
}

// A Spread is a median with its quartiles.
type Spread struct{ Low, Median, High float64 }

// Met says whether the goal is, if there is one.
func (r Row) Met() bool {
	if r.Most > 0 {
		return r.Ratio.Median <= r.Most
	}
	return r.Ratio.Median >= r.Least
}

// HasGoal says whether there is a goal.
func (g Goal) HasGoal() bool { return g.Most > 0 || g.Least > 0 }

// Rows are the goals whose samples are there.
func (r *Results) Rows(goals []Goal) []Row {
	var rows []Row
	for _, g := range goals {
		value, base := r.Samples[g.Subject], r.Samples[g.Reference]
		if g.Reference == "" {
			base = slices.Repeat([]float64{g.Constant}, len(value))
		}
		if len(value) > 0 && len(base) > 0 {
			rows = append(rows, newRow(g, value, base))
		}
	}
	return rows
}

func newRow(g Goal, value, base []float64) Row {
	var ratios []float64
	for i := range min(len(value), len(base)) {
		ratios = append(ratios, value[i]/base[i])
	}
	row := Row{Goal: g, Value: spread(value), Base: spread(base), Ratio: spread(ratios)}
	row.Ratio.Median = row.Value.Median / row.Base.Median
	row.Ratio.Low, row.Ratio.High = min(row.Ratio.Low, row.Ratio.Median), max(row.Ratio.High, row.Ratio.Median)
	return row
}

func spread(values []float64) Spread {
	sorted := slices.SortedFunc(slices.Values(values), cmp.Compare[float64])
	return Spread{quantile(sorted, 0.25), quantile(sorted, 0.5), quantile(sorted, 0.75)}
}

// quantile interpolates between the two values nearest to q, 0 to 1.
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	i := int(at)
	if i+1 == len(sorted) {
		return sorted[i]
	}
	return sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])
}

package report_test

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.com/gmailgrant/bench/internal/report"
)

func results(samples map[string][]float64) *report.Results {
	r := report.New()
	for name, values := range samples {
		for _, v := range values {
			r.Add(name, v)
		}
	}
	return r
}

func TestRows(t *testing.T) {
	r := results(map[string][]float64{
		"ours":   {4, 1, 3, 2, 5},
		"theirs": {10, 10, 30, 20, 20},
	})
	rows := r.Rows([]report.Goal{
		{Title: "ours", Subject: "ours", Reference: "theirs", Most: 0.15},
		{Title: "constant", Subject: "ours", Constant: 6, Least: 0.5},
		{Title: "not measured", Subject: "ours", Reference: "nobody"},
	})
	if len(rows) != 2 {
		t.Fatalf("%d rows", len(rows))
	}
	if got, want := rows[0].Value, (report.Spread{Low: 2, Median: 3, High: 4}); got != want {
		t.Errorf("value %v, want %v", got, want)
	}
	if got, want := rows[0].Base, (report.Spread{Low: 10, Median: 20, High: 20}); got != want {
		t.Errorf("base %v, want %v", got, want)
	}
	if got, want := rows[0].Ratio, (report.Spread{Low: 0.1, Median: 0.15, High: 0.25}); got != want {
		t.Errorf("ratio %v, want %v", got, want)
	}
	if got, want := rows[1].Ratio.Median, 0.5; got != want {
		t.Errorf("ratio to a constant %v, want %v", got, want)
	}
}

func TestMet(t *testing.T) {
	for _, row := range []struct {
		ratio float64
		goal  report.Goal
		want  bool
	}{
		{1.5, report.Goal{Most: 1.5}, true},
		{1.51, report.Goal{Most: 1.5}, false},
		{0.4, report.Goal{Least: 0.4}, true},
		{0.39, report.Goal{Least: 0.4}, false},
	} {
		r := report.Row{Goal: row.goal, Ratio: report.Spread{Median: row.ratio}}
		if got := r.Met(); got != row.want {
			t.Errorf("%v of %+v: %t", row.ratio, row.goal, got)
		}
	}
}

var goals = []report.Goal{
	{Title: "start & end", Unit: "ms", Subject: "ours", Reference: "theirs", Versus: "<them>", Most: 1. / 20},
	{Title: "load", Unit: "requests/s", Subject: "ours", Reference: "theirs", Versus: "them", Least: 0.4},
	{Title: "beside", Unit: "µs", Subject: "ours", Constant: 2, Versus: "two"},
}

func TestTable(t *testing.T) {
	table := report.Table(results(map[string][]float64{"ours": {1, 1, 1.5}, "theirs": {100, 1234, 1235}}).Rows(goals))
	for _, want := range []string{
		"| start & end | 1 (1–1.25) ms | <them> | 1234 (667–1235) ms | 0.00081 (0.00081–0.00561) | ≤ 1/20 | met |\n",
		"| ≥ 0.4 | **not met** |\n",
		"| two | 2 µs | 0.5 (0.5–0.625) |  |  |\n",
	} {
		if !strings.Contains(table, want) {
			t.Errorf("no %q in\n%s", want, table)
		}
	}
}

func TestWrite(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "results")
	r := results(map[string][]float64{"ours": {1, 2, 3}, "theirs": {1, 20, 4000}})
	if err := report.Write(dir, r.Rows(goals), r, []string{"on a machine"}); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(dir, "results.md"))
	if err != nil || !strings.Contains(string(page), "on a machine") || !strings.Contains(string(page), "| load |") {
		t.Errorf("%v in %s", err, page)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "results.json"))
	if err != nil {
		t.Fatal(err)
	}
	var kept struct{ Samples map[string][]float64 }
	if err := json.Unmarshal(raw, &kept); err != nil || len(kept.Samples["theirs"]) != 3 {
		t.Errorf("%v in %s", err, raw)
	}
	plot, err := os.ReadFile(filepath.Join(dir, "results.svg"))
	if err != nil {
		t.Fatal(err)
	}
	if circles := countElements(t, string(plot), "circle"); circles != 2 {
		t.Errorf("%d points in the plot, want one for each row with a goal", circles)
	}
}

func countElements(t *testing.T, document, name string) int {
	t.Helper()
	n := 0
	for d := xml.NewDecoder(strings.NewReader(document)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return n
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == name {
			n++
		}
	}
}

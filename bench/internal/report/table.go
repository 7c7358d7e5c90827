package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Write puts results.md, results.json and results.svg into a folder. The conditions
// of the run stand before the table.
func Write(dir string, rows []Row, results *Results, conditions []string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	raw, err := json.MarshalIndent(struct {
		Conditions []string `json:"conditions"`
		*Results
	}{conditions, results}, "", " ")
	if err != nil {
		return err
	}
	page := "# Results\n\n" + strings.Join(conditions, " · ") + "\n\n" + Table(rows) + "\n![The same as a plot](results.svg)\n"
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "results.md"), []byte(page), 0o644),
		os.WriteFile(filepath.Join(dir, "results.json"), append(raw, '\n'), 0o644),
		os.WriteFile(filepath.Join(dir, "results.svg"), []byte(Plot(rows)), 0o644),
	)
}

// Table is a table in Markdown: medians, with quartiles in brackets.
func Table(rows []Row) string {
	var b strings.Builder
	b.WriteString("| | gmailgrant | against | | ratio | goal | |\n| --- | ---: | --- | ---: | ---: | ---: | --- |\n")
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s | %s %s | %s | %s %s | %s | %s | %s |\n",
			r.Title, r.Value, r.Unit, r.Versus, r.Base, r.Unit, r.Ratio, r.limit(), r.verdict())
	}
	return b.String()
}

func (r Row) verdict() string {
	switch {
	case !r.HasGoal():
		return ""
	case r.Met():
		return "met"
	}
	return "**not met**"
}

func (s Spread) String() string {
	if s.Low == s.High {
		return number(s.Median)
	}
	return fmt.Sprintf("%s (%s–%s)", number(s.Median), number(s.Low), number(s.High))
}

// number has three digits that count.
func number(x float64) string {
	if x >= 100 {
		return strconv.FormatFloat(math.Round(x), 'f', 0, 64)
	}
	return strconv.FormatFloat(x, 'g', 3, 64)
}

func (r Row) limit() string {
	switch {
	case r.Most > 0:
		return "≤ " + fraction(r.Most)
	case r.Least > 0:
		return "≥ " + fraction(r.Least)
	}
	return ""
}

// fraction writes 0.05 as 1/20.
func fraction(x float64) string {
	if inverse := 1 / x; x < 0.2 && math.Abs(inverse-math.Round(inverse)) < 1e-9 {
		return fmt.Sprintf("1/%.0f", inverse)
	}
	return number(x)
}

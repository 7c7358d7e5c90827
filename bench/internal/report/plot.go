package report

import (
	"fmt"
	"html"
	"math"
	"slices"
	"strings"
)

// Measures of the plot, in pixels.
const (
	labelWidth = 520
	plotWidth  = 420
	rowHeight  = 26
	topMargin  = 44
	// span is the range of the axis either side of the goal: eight times as good,
	// eight times as bad.
	span = 8
)

// Plot is an SVG with a line for each row that has a goal: how far the ratio is from its goal, on a
// logarithmic axis, the quartiles as a bar.
func Plot(rows []Row) string {
	rows = slices.DeleteFunc(slices.Clone(rows), func(r Row) bool { return !r.HasGoal() })
	height := topMargin + rowHeight*len(rows) + 16
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="system-ui, sans-serif" font-size="13">`+"\n", labelWidth+plotWidth+30, height)
	b.WriteString(`<rect width="100%" height="100%" fill="#fff"/>` + "\n")
	writeAxis(&b, height)
	for i, r := range rows {
		writeRow(&b, r, topMargin+rowHeight*i+rowHeight/2)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func writeAxis(b *strings.Builder, height int) {
	for x := 1. / span; x <= span; x *= 2 {
		label, colour := number(x)+" ×", "#ddd"
		switch {
		case x == 1:
			label, colour = "goal", "#333"
		case x < 1:
			label = fmt.Sprintf("1/%.0f", 1/x)
		}
		fmt.Fprintf(b, `<line x1="%[1]d" x2="%[1]d" y1="%d" y2="%d" stroke="%s"/>`+"\n", place(x), topMargin-8, height-10, colour)
		fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="middle" fill="#555">%s</text>`+"\n", place(x), topMargin-14, label)
	}
	fmt.Fprintf(b, `<text x="%d" y="14" fill="#555">← better than the goal</text>`+"\n", labelWidth)
}

func writeRow(b *strings.Builder, r Row, y int) {
	colour := "#1a7f37"
	if !r.Met() {
		colour = "#b42318"
	}
	low, high := place(r.distance(r.Ratio.Low)), place(r.distance(r.Ratio.High))
	fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="end">%s, against %s</text>`+"\n", labelWidth-12, y+4, html.EscapeString(r.Title), html.EscapeString(r.Versus))
	fmt.Fprintf(b, `<line x1="%d" x2="%d" y1="%[3]d" y2="%[3]d" stroke="%s" stroke-width="6" stroke-opacity="0.35"/>`+"\n", min(low, high), max(low, high), y, colour)
	fmt.Fprintf(b, `<circle cx="%d" cy="%d" r="5" fill="%s"/>`+"\n", place(r.distance(r.Ratio.Median)), y, colour)
}

// distance is how many times the goal a ratio is: below 1 it is met.
func (r Row) distance(ratio float64) float64 {
	if r.Most > 0 {
		return ratio / r.Most
	}
	return r.Least / ratio
}

// place is where a multiple of the goal is on the axis; what lies outside is at its
// end.
func place(x float64) int {
	x = min(max(x, 1./span), span)
	return labelWidth + int(math.Round((math.Log2(x)/math.Log2(span)+1)/2*plotWidth))
}

package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/go-apikey/apikey/bench"
)

// document is the report as it is put together.
type document struct {
	*measured
	text  strings.Builder
	plots map[string][]byte // SVG by file name
}

// printf adds to the text, which cannot fail.
func (d *document) printf(format string, args ...any) {
	_, _ = fmt.Fprintf(&d.text, format, args...)
}

// table adds a table; of cells the first column is text, the rest figures.
func (d *document) table(head []string, rows [][]string) {
	if len(rows) == 0 {
		return
	}
	d.printf("| %s |\n|---%s|\n", strings.Join(head, " | "), strings.Repeat("|---:", len(head)-1))
	for _, row := range rows {
		d.printf("| %s |\n", strings.Join(row, " | "))
	}
	d.printf("\n")
}

// duration is nanoseconds in the unit that suits them, with three digits.
func duration(ns float64) string {
	for _, unit := range []struct {
		size float64
		name string
	}{{1e9, "s"}, {1e6, "ms"}, {1e3, "µs"}} {
		if ns >= 0.9995*unit.size && (unit.size > 1e3 || ns >= 9.995e3) {
			return digits(ns/unit.size) + " " + unit.name
		}
	}
	return count(int64(math.Round(ns))) + " ns"
}

// spread is an estimate of nanoseconds.
func spread(e bench.Estimate) string {
	if math.IsNaN(e.Median) {
		return "–"
	}
	_, unit, _ := strings.Cut(duration(e.Median), " ")
	low, lowUnit, _ := strings.Cut(duration(e.Low), " ")
	high, highUnit, _ := strings.Cut(duration(e.High), " ")
	if lowUnit != unit || highUnit != unit {
		low, high = duration(e.Low), duration(e.High)
	}
	return fmt.Sprintf("%s (%s–%s)", duration(e.Median), low, high)
}

// ratio is an estimate of how many times.
func ratio(e bench.Estimate) string {
	if math.IsNaN(e.Median) {
		return "–"
	}
	return fmt.Sprintf("%s (%s–%s)", digits(e.Median), digits(e.Low), digits(e.High))
}

// digits is a number with three digits, two behind the point at most unless it
// is small.
func digits(x float64) string {
	switch {
	case math.IsNaN(x):
		return "–"
	case x > 0 && x < 0.0995:
		return strconv.FormatFloat(x, 'f', 3, 64)
	case x < 9.995:
		return strconv.FormatFloat(x, 'f', 2, 64)
	case x < 99.95:
		return strconv.FormatFloat(x, 'f', 1, 64)
	}
	return count(int64(math.Round(x)))
}

// amount is a number of allocations or bytes: whole, unless it is small and not.
func amount(x float64) string {
	if rounded := math.Round(x*10) / 10; rounded < 10 && rounded != math.Round(rounded) {
		return strconv.FormatFloat(rounded, 'f', 1, 64)
	}
	return count(int64(math.Round(x)))
}

// count is a number in groups of three.
func count(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// memory is a size of it.
func memory(n float64) string {
	switch {
	case n >= 1<<30:
		return digits(n/(1<<30)) + " GiB"
	case n >= 1<<20:
		return digits(n/(1<<20)) + " MiB"
	case n >= 1<<10:
		return digits(n/(1<<10)) + " KiB"
	}
	return count(int64(n)) + " B"
}

// percent is a share.
func percent(x float64) string {
	if x > 0 && x < 0.005 {
		return "< 1 %"
	}
	return strconv.FormatFloat(100*x, 'f', 0, 64) + " %"
}

// plural is a number of things.
func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + strings.TrimSuffix(thing, "s")
	}
	return count(int64(n)) + " " + thing
}

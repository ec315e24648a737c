package main

import (
	"fmt"
	"math"
	"regexp"
	"strings"

	"github.com/go-apikey/apikey/bench"
)

// target is something to be reached: written down before it was measured.
type target struct {
	wants    string
	findings func(d *document) []finding
}

// finding is what was measured of a target in one table.
type finding struct {
	where    string
	measured string
	verdict  verdict
}

// verdict is whether a target was reached.
type verdict string

// The verdicts. What is near has the bound within its interval.
const (
	reached     verdict = "yes"
	reachedNear verdict = "yes, within the spread"
	missed      verdict = "**no**"
	missedNear  verdict = "**no**, within the spread"
)

// atMost judges an estimate that should not be above a bound.
func atMost(e bench.Estimate, bound float64) verdict {
	switch {
	case e.High <= bound:
		return reached
	case e.Median <= bound:
		return reachedNear
	case e.Low <= bound:
		return missedNear
	}
	return missed
}

// atLeast judges one that should not be below it.
func atLeast(e bench.Estimate, bound float64) verdict {
	return atMost(bench.Estimate{Median: -e.Median, Low: -e.High, High: -e.Low}, -bound)
}

// The subjects that targets name. A test holds that there are such.
const (
	authOnly   = "apikey, authentication only"
	authAll    = "apikey, all of it"
	handAll    = "hand-written, all of it"
	hs256      = "golang-jwt, HS256"
	ourBuckets = "apikey.TokenBuckets"
)

// stateless are peers that look nothing up.
var stateless = regexp.MustCompile(`(?i)jwt`)

// isPeer reports whether a subject is not ours.
func isPeer(name string) bool {
	return !strings.Contains(name, "apikey") && !strings.HasPrefix(name, "Verify")
}

// bare are peers that do not more than authenticate.
func bare(name string) bool { return isPeer(name) && name != handAll }

func looksUp(name string) bool { return isPeer(name) && !stateless.MatchString(name) }

var targets = []target{
	{"authentication alone: faster than every peer that looks keys up", inTables("auth", func(t *table) *finding {
		return t.fastest(authOnly, looksUp, func(ours, theirs []float64) finding {
			e := bench.EstimateOf(bench.Ratios(theirs, ours))
			return finding{measured: ratio(e) + " × faster than", verdict: atLeast(e, 1)}
		})
	})},
	{"authentication alone: ≥ 10 × faster than HS256 by golang-jwt", inTables("auth", times(authOnly, hs256, 10))},
	{"all of it: ≤ 1.5 × the hand-written sha256-and-map check, which does nothing else", inTables("auth", atMostTimes(authAll, bench.HandWritten, 1.5))},
	{"all of it: ≥ 4 × faster than HS256 by golang-jwt", inTables("auth", times(authAll, hs256, 4))},
	{"beyond that, all of it: no slower than the fastest peer's bare authentication", inTables("auth", func(t *table) *finding {
		return t.fastest(authAll, bare, func(ours, theirs []float64) finding {
			e := bench.EstimateOf(bench.Ratios(ours, theirs))
			return finding{measured: ratio(e) + " × the time of", verdict: atMost(e, 1)}
		})
	})},
	{"a limiter alone: ≤ 1.1 × bare x/time/rate under the same map", inTables("limits", atMostTimes(ourBuckets, bench.BareRate, 1.1))},
	{"authentication alone: fewest allocations of all", inTables("auth", fewest(authOnly))},
	{"all of it: fewest allocations of all", inTables("auth", fewest(authAll))},
	{"a limiter alone: fewest allocations of all", inTables("limits", fewest(ourBuckets))},
	{"the core's floors", (*document).floorFindings},
	{"how cost grows: at most its line and a quarter; memory at most what it says", (*document).growthFindings},
	{"a verification that fails costs no more than one that succeeds", (*document).refusedFindings},
	{"under load: no pause over 5 ms that the unguarded handler does not have too; nothing lost, nothing counted twice", (*document).loadFindings},
}

// targets is the table of what was to be reached.
func (d *document) targets() {
	var rows [][]string
	for _, t := range targets {
		wants := t.wants
		for _, f := range t.findings(d) {
			rows = append(rows, []string{wants, f.where, f.measured, string(f.verdict)})
			wants = ""
		}
	}
	if len(rows) == 0 {
		return
	}
	d.printf("### What was to be reached\n\nWritten down before it was measured, and judged by the program. Of accepted requests, on one core.\n\n")
	d.printf("| wanted | where | measured | reached |\n|---|---|---|---|\n")
	for _, row := range rows {
		d.printf("| %s |\n", strings.Join(row, " | "))
	}
	d.printf("\n")
}

// table is the rows of one load.
type table struct {
	*document
	set  *bench.Set
	size int
	load bench.Load
}

// inTables looks at each table of a set of requests that are accepted on one
// core. finding is nil where a table does not have what is asked for.
func inTables(set string, find func(t *table) *finding) func(d *document) []finding {
	return func(d *document) []finding {
		var found []finding
		for _, s := range bench.Peers(d.Short) {
			if s.Name != set {
				continue
			}
			for _, size := range s.Sizes {
				for _, load := range s.Loads(size) {
					t := &table{d, &s, size, load}
					if load.Case != bench.Accepted || load.Cores != 1 {
						continue
					}
					if f := find(t); f != nil {
						f.where = strings.TrimSuffix(heading(&s, size, load), ": accepted")
						found = append(found, *f)
					}
				}
			}
		}
		return found
	}
}

// row is that of a subject in the table; nil, if it was not measured.
func (t *table) row(subject string) *bench.RowResult {
	row := t.Find(bench.Row{Set: t.set.Name, Size: t.size, Load: t.load, Subject: subject})
	if row == nil || row.Failed != "" {
		return nil
	}
	return row
}

// fastest judges a subject beside the fastest of those that are peers.
func (t *table) fastest(subject string, peer func(name string) bool, judge func(ours, theirs []float64) finding) *finding {
	ours, least := t.row(subject), math.Inf(1)
	var best *bench.RowResult
	for _, s := range t.set.Subjects(t.size) {
		row := t.row(s.Name)
		if row == nil || !peer(s.Name) {
			continue
		}
		if ns := bench.Median(row.NS()); ns < least {
			best, least = row, ns
		}
	}
	if ours == nil || best == nil {
		return nil
	}
	f := judge(ours.NS(), best.NS())
	f.measured += " " + best.Subject
	return &f
}

// times wants a subject to be so many times faster than another.
func times(subject, other string, bound float64) func(t *table) *finding {
	return func(t *table) *finding {
		ours, theirs := t.row(subject), t.row(other)
		if ours == nil || theirs == nil {
			return nil
		}
		e := bench.EstimateOf(bench.Ratios(theirs.NS(), ours.NS()))
		return &finding{measured: ratio(e) + " × faster", verdict: atLeast(e, bound)}
	}
}

// atMostTimes wants a subject to take at most so many times another's.
func atMostTimes(subject, other string, bound float64) func(t *table) *finding {
	return func(t *table) *finding {
		ours, theirs := t.row(subject), t.row(other)
		if ours == nil || theirs == nil {
			return nil
		}
		e := bench.EstimateOf(bench.Ratios(ours.NS(), theirs.NS()))
		return &finding{measured: ratio(e) + " ×", verdict: atMost(e, bound)}
	}
}

// fewest wants no other subject to allocate less often. Ours among each other
// do not count.
func fewest(subject string) func(t *table) *finding {
	return func(t *table) *finding {
		mine := t.row(subject)
		if mine == nil {
			return nil
		}
		allocs := func(r *bench.RowResult) float64 { return math.Round(bench.Median(r.Allocs())*10) / 10 }
		least, who, others := allocs(mine), "", math.Inf(1)
		for _, s := range t.set.Subjects(t.size) {
			row := t.row(s.Name)
			if row == nil || strings.HasPrefix(s.Module, ours) {
				continue
			}
			if n := allocs(row); n < others {
				who, others = s.Name, n
			}
		}
		if who == "" {
			return nil
		}
		f := &finding{measured: fmt.Sprintf("%s; the others' fewest: %s, %s", amount(least), amount(others), who), verdict: reached}
		if others < least {
			f.verdict = missed
		}
		return f
	}
}

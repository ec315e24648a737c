package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-apikey/apikey/bench/load"
)

// load is a whole server under load.
func (d *document) load() {
	if d.Load == nil {
		return
	}
	r := d.Load
	d.printf("### A server under load\n\n")
	d.printf("A server in a process of its own, and clients on %s that are kept alive, over the loopback; both share the %d cores. %s of %s, all in use, with everything on. \"%s\" is the same handler in a process without keys, \"%s\" in the process with them.\n\n",
		plural(r.Connections, "connections"), r.Cores, plural(r.Keys, "keys"), plural(r.Owners, "owners"), load.Alone, load.Unguarded)
	d.printf("**Closed loop**: each connection sends the next request when it has the answer.\n\n")
	d.seriesTable(r.Closed)
	d.printf("**At a fixed rate** of %s requests a second. A request counts from when it was to be sent.\n\n", count(int64(r.Rate)))
	d.seriesTable(r.Fixed)
	d.printf("**Disturbed**: both handlers at the same time, a sixth of that rate each. By computation, which has nothing to do with keys, too: what any work beside requests does.\n\n")
	d.disturbedTable()
	d.printf("**From within**: a goroutine of the server calls both handlers by turns, without clients, each with a request that is made for the call, as a server makes it; the time by which the unguarded one is faster is filled with hashing. A pause of the machine or of the runtime hits both alike: it is ours if the guarded handler has such calls more often than chance has it in one case of twenty, if a call took more than 5 ms of processor time, or if one waited for a lock for so long.\n\n")
	d.probeTable()
	d.reproduce("load")
}

// seriesTable has the handlers below each other.
func (d *document) seriesTable(all []load.Series) {
	var rows [][]string
	for i := range all {
		s := &all[i]
		perSecond, low, high := s.Spread(func(r *load.Round) float64 { return r.PerSecond })
		gc, _, _ := s.Spread(func(r *load.Round) float64 { return r.Server.GC })
		processor, _, _ := s.Spread(func(r *load.Round) float64 { return r.Server.PerRequest })
		rows = append(rows, append([]string{
			s.Handler, fmt.Sprintf("%s (%s–%s)", count(int64(perSecond)), count(int64(low)), count(int64(high))),
		}, append(percentiles(&s.All), duration(processor), percent(gc))...))
	}
	d.table([]string{"", "requests a second", "p50", "p99", "p99.9", "longest", "over 5 ms", "processor time of the server", "GC"}, rows)
}

func percentiles(l *load.Latency) []string {
	return []string{ns(l.P50), ns(l.P99), ns(l.P999), ns(l.Max), count(l.Long)}
}

func ns(d time.Duration) string { return duration(float64(d)) }

func (d *document) disturbedTable() {
	var rows [][]string
	for i := range d.Load.Disturbed {
		by := &d.Load.Disturbed[i]
		rows = append(rows,
			append([]string{by.By + ": unguarded"}, percentiles(&by.Unguarded.All)...),
			append([]string{by.By + ": guarded"}, percentiles(&by.Guarded.All)...))
	}
	d.table([]string{"by", "p50", "p99", "p99.9", "longest", "over 5 ms"}, rows)
	for i := range d.Load.Disturbed {
		if did := work(&d.Load.Disturbed[i].Work); did != "" {
			d.printf("- %s: %s\n", d.Load.Disturbed[i].By, did)
		}
	}
	d.printf("\n")
}

// work is what a disturbance did.
func work(w *load.Work) string {
	var did []string
	for _, n := range []struct {
		n    int
		what string
	}{
		{w.Created, "created"},
		{w.Rotated, "rotated"},
		{w.Updated, "updated"},
		{w.Revoked, "revoked"},
		{w.Lists, "lists"},
		{w.Flushes, "flushes"},
		{w.Flushed, "keys flushed"},
		{w.Sweeps, "sweeps"},
		{w.Swept, "buckets swept"},
	} {
		if n.n > 0 {
			did = append(did, count(int64(n.n))+" "+n.what)
		}
	}
	return strings.Join(did, ", ")
}

func (d *document) probeTable() {
	var rows [][]string
	for i := range d.Load.Disturbed {
		by := &d.Load.Disturbed[i]
		for _, half := range []struct {
			name  string
			calls *load.Calls
		}{{"unguarded", &by.Probe.Unguarded}, {"guarded", &by.Probe.Guarded}} {
			rows = append(rows, append(append([]string{by.By + ": " + half.name, count(half.calls.Calls)}, percentiles(&half.calls.Latency)...), ns(half.calls.LongCPU)))
		}
	}
	d.table([]string{"by", "calls", "p50", "p99", "p99.9", "longest", "over 5 ms", "most processor time of one"}, rows)
	rows = nil
	for i := range d.Load.Disturbed {
		by := &d.Load.Disturbed[i]
		for _, w := range slices.Concat(by.Waits, by.ProbeWaits) {
			rows = append(rows, []string{by.By + ": " + w.At, count(w.Count), ns(w.Mean)})
		}
	}
	if len(rows) > 0 {
		d.printf("Where verifications waited for a lock, with clients and without:\n\n")
		d.table([]string{"", "about how often", "on average"}, rows)
	}
}

// loadFindings judge what was seen from within, and the counts.
func (d *document) loadFindings() []finding {
	if d.Load == nil {
		return nil
	}
	var found []finding
	for i := range d.Load.Disturbed {
		by := &d.Load.Disturbed[i]
		ours, theirs := &by.Probe.Guarded, &by.Probe.Unguarded
		f := finding{
			where:    "disturbed by " + by.By,
			measured: fmt.Sprintf("calls over 5 ms: guarded %d, unguarded %d; longest %s, %s", ours.Latency.Long, theirs.Latency.Long, ns(ours.Latency.Max), ns(theirs.Latency.Max)),
			verdict:  reached,
		}
		if ours.LongCPU > max(load.LongPause, theirs.LongCPU) || moreOften(ours.Latency.Long, theirs.Latency.Long) {
			f.verdict = missed
		}
		for _, w := range slices.Concat(by.Waits, by.ProbeWaits) {
			if w.Mean > load.LongPause {
				f.measured += fmt.Sprintf("; %s waited %s for a lock", w.At, ns(w.Mean))
				f.verdict = missed
			}
		}
		found = append(found, f)
	}
	counted := finding{where: "requests of all servers", measured: "each counted once", verdict: reached}
	for i := range d.Load.Counts {
		if c := &d.Load.Counts[i]; !c.OK() {
			counted.measured, counted.verdict = fmt.Sprintf("%s: sent %d, answered %d, served %d, guarded %d and own %d, stored %d", c.Server, c.Sent, c.Answered, c.Served, c.Guarded, c.Own, c.Stored), missed
		}
	}
	return append(found, counted)
}

// moreOften reports whether a happened more often than b by more than chance
// would have it in one case of twenty: of a+b events that hit either alike, a
// are on one side with the standard deviation of √(a+b)/2.
func moreOften(a, b int64) bool {
	difference := float64(a - b)
	return difference > 0 && difference*difference > 1.645*1.645*float64(a+b)
}

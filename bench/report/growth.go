package main

import (
	"math"
	"strings"

	"github.com/go-apikey/apikey/bench"
)

// growth is how cost grows.
func (d *document) growth() {
	first := true
	for _, c := range bench.Growth(d.Short) {
		points := d.points(&c)
		if len(points) == 0 {
			continue
		}
		if first {
			d.printf("### How cost grows\n\n`Manager.Verify` on a memstore, on one core, of keys in use, as in the tables above. × is beside the smallest size. The lines were written down before anything was measured; what lies at most %s × above follows its line.\n\n", digits(bench.Slack))
			first = false
		}
		d.curve(&c, points)
	}
}

// point is one size of a curve.
type point struct {
	size    int
	row     *bench.RowResult // whose time the line is of
	time    bench.Estimate
	line    float64 // NaN: what it needs was not measured
	proc    *bench.Proc
	perItem float64 // bytes that one more takes, at rest
	inUse   float64
}

// follows judges a point by its line.
func (p *point) follows() verdict { return atMost(p.time, bench.Slack*p.line) }

func (d *document) points(c *bench.Curve) []point {
	of := func(row bench.Row) float64 {
		if found := d.Find(row); found != nil && found.Failed == "" {
			return bench.Median(found.NS())
		}
		return math.NaN()
	}
	var points []point
	for _, size := range c.Sizes {
		subject := c.Subjects(size)[0].Name
		row := d.Find(bench.Row{Set: c.Name, Size: size, Load: c.Load, Subject: subject})
		if row == nil || row.Failed != "" {
			continue
		}
		p := point{size: size, row: row, time: bench.EstimateOf(row.NS()), line: c.Line(size, of)}
		for i := range d.Procs {
			if proc := &d.Procs[i]; proc.Set == c.Name && proc.Size == size && proc.Subject == subject {
				p.proc, p.perItem, p.inUse = proc, float64(proc.Heap)/float64(size), float64(proc.InUse)/float64(size)
			}
		}
		points = append(points, p)
	}
	return points
}

// curve is the plot and the tables of one.
func (d *document) curve(c *bench.Curve, points []point) {
	d.printf("#### %s\n\n%s The line: %s\n\n", c.Title, c.About, c.Says)
	d.plotCurve(c, points)
	var head []string
	var rows [][]string
	for _, p := range points {
		head = []string{c.Axis, "time", "the line", "follows it", "memory, at rest", "in use", "a garbage collection"}
		rows = append(rows, []string{
			count(int64(p.size)), spread(p.time), duration(p.line), string(p.follows()),
			memory(float64(p.proc.Heap)), memory(float64(p.proc.InUse)), duration(float64(p.proc.Collection)),
		})
		if c.Bytes > 0 {
			head = append(head, "bytes of one of the "+c.Axis)
			rows[len(rows)-1] = append(rows[len(rows)-1], each(p))
		}
	}
	d.table(head, rows)
	d.others(c)
	d.reproduce("%s/", c.Name)
}

// each is what one takes, where there are enough of them to tell.
func each(p point) string {
	if p.size < 1000 {
		return "–"
	}
	return amount(p.perItem) + ", in use " + amount(p.inUse)
}

// others are the loads and subjects of a curve that have no line.
func (d *document) others(c *bench.Curve) {
	head := []string{c.Axis}
	rows := make([][]string, 0, len(c.Sizes))
	for i, size := range c.Sizes {
		row, some := []string{count(int64(size))}, false
		for s, subject := range c.Subjects(size) {
			for _, load := range c.Loads(size) {
				if s == 0 && load == c.Load {
					continue
				}
				found := d.Find(bench.Row{Set: c.Name, Size: size, Load: load, Subject: subject.Name})
				if found == nil {
					if first := d.Find(bench.Row{Set: c.Name, Size: c.Sizes[0], Load: load, Subject: subject.Name}); first == nil {
						continue
					}
					row = append(row, "–")
					continue
				}
				if i == 0 {
					name := string(load.Order) + ", " + string(load.Case)
					if s > 0 {
						name = subject.Name
					}
					head = append(head, name)
				}
				row, some = append(row, spread(bench.EstimateOf(found.NS()))), true
			}
		}
		if some && len(row) == len(head) {
			rows = append(rows, row)
		}
	}
	d.table(head, rows)
}

// growthFindings judge each curve by the point that lies farthest above its
// line.
func (d *document) growthFindings() []finding {
	var found []finding
	for _, c := range bench.Growth(d.Short) {
		var worst *point
		points := d.points(&c)
		for i := range points {
			if p := &points[i]; !math.IsNaN(p.line) && (worst == nil || p.time.Median/p.line > worst.time.Median/worst.line) {
				worst = p
			}
		}
		if worst == nil {
			continue
		}
		found = append(found, finding{
			where:    strings.ToLower(c.Title),
			measured: digits(worst.time.Median/worst.line) + " × its line at " + plural(worst.size, c.Axis),
			verdict:  worst.follows(),
		})
		if last := points[len(points)-1]; c.Bytes > 0 && last.size >= 1000 {
			bytes := bench.Estimate{Median: last.perItem, Low: last.perItem, High: last.perItem}
			found = append(found, finding{
				where:    strings.ToLower(c.Title) + ", memory",
				measured: amount(last.perItem) + " bytes at " + plural(last.size, c.Axis) + "; wanted: at most " + amount(c.Bytes),
				verdict:  atMost(bytes, c.Bytes),
			})
		}
	}
	return found
}

// refused is the table of verifications that fail.
func (d *document) refused(s *bench.Set) {
	first := true
	for _, size := range s.Sizes {
		var rows [][]string
		for _, subject := range s.Subjects(size) {
			for _, load := range s.Loads(size) {
				row := d.Find(bench.Row{Set: s.Name, Size: size, Load: load, Subject: subject.Name})
				if row == nil {
					continue
				}
				rows = append(rows, append([]string{subject.Name + ": " + string(load.Case)}, d.cells(row, d.Find(s.Base(row.Row)))...))
			}
		}
		if len(rows) == 0 {
			continue
		}
		if first {
			d.printf("### %s\n\n%s × is beside the accepted one.\n\n", s.Title, s.About)
			first = false
		}
		d.printf("**%s**\n\n", plural(size, s.Axis))
		d.table([]string{"", "time", "×", "allocations", "bytes", "GC"}, rows)
		d.reproduce("%s/%d/", s.Name, size)
	}
}

// refusedFindings judge the refusal that is dearest beside what succeeds.
func (d *document) refusedFindings() []finding {
	s := bench.Refused(d.Short)
	var found []finding
	for _, size := range s.Sizes {
		for _, subject := range s.Subjects(size) {
			var worst bench.Estimate
			var which bench.Case
			for _, load := range s.Loads(size) {
				row := d.Find(bench.Row{Set: s.Name, Size: size, Load: load, Subject: subject.Name})
				if row == nil || row.Failed != "" || load.Case == bench.Accepted {
					continue
				}
				base := d.Find(s.Base(row.Row))
				if base == nil || base.Failed != "" {
					continue
				}
				if e := bench.EstimateOf(bench.Ratios(row.NS(), base.NS())); e.Median > worst.Median {
					worst, which = e, load.Case
				}
			}
			if which == "" {
				continue
			}
			found = append(found, finding{
				where:    subject.Name + ", " + plural(size, s.Axis),
				measured: ratio(worst) + " ×, " + string(which),
				verdict:  atMost(worst, 1),
			})
		}
	}
	return found
}

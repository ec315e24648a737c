package keyadmin

import (
	"fmt"
	"time"

	"github.com/go-apikey/apikey"
)

// span is how much of a key's use is plotted.
type span struct {
	name, title string
	bars        int
	bar         time.Duration
	label       string // of a bar's time
}

var spans = []span{
	{"24h", "24 hours", 24, time.Hour, "Mon 15:04"},
	{"7d", "7 days", 28, 6 * time.Hour, "Mon 2 Jan 15:04"},
	{"30d", "30 days", 30, 24 * time.Hour, "2 Jan"},
}

func spanOf(name string) span {
	for _, s := range spans {
		if s.name == name {
			return s
		}
	}
	return spans[0]
}

// from is the start of the first bar, so that the last one holds now.
func (s span) from(now time.Time) time.Time {
	return now.UTC().Truncate(s.bar).Add(-time.Duration(s.bars-1) * s.bar)
}

// chart is use as bars, stacked: admitted, limited, denied.
type chart struct {
	Title                     string // "24 hours"
	Bars                      []bar
	Requests, Limited, Denied int64
	Max                       int64 // of the scale
	Busiest                   string
	Width                     int // of the drawing
	Spans                     []spanLink
	First, Middle, Last       string // times along the axis
}

type spanLink struct {
	Name, Title string
	Current     bool
}

type bar struct {
	At                        string
	Requests, Limited, Denied int64
	X, W                      int
	Parts                     []part
}

type part struct {
	Class   string
	X, W, Y float64
	H       float64
}

const (
	barStep    = 20
	barWidth   = 14
	plotHeight = 120
)

func newChart(s span, from time.Time, points []apikey.UsagePoint) *chart {
	c := &chart{Title: s.title, Bars: make([]bar, s.bars), Width: s.bars * barStep}
	for _, other := range spans {
		c.Spans = append(c.Spans, spanLink{other.name, other.title, other.name == s.name})
	}
	for i := range c.Bars {
		c.Bars[i].At = from.Add(time.Duration(i) * s.bar).Format(s.label)
		c.Bars[i].X, c.Bars[i].W = i*barStep, barStep
	}
	for _, p := range points {
		i := int(p.Hour.Sub(from) / s.bar)
		if p.Hour.Before(from) || i >= len(c.Bars) {
			continue
		}
		b := &c.Bars[i]
		b.Requests, b.Limited, b.Denied = b.Requests+p.Requests, b.Limited+p.Limited, b.Denied+p.Denied
	}
	var top int64
	for _, b := range c.Bars {
		c.Requests, c.Limited, c.Denied = c.Requests+b.Requests, c.Limited+b.Limited, c.Denied+b.Denied
		if all := b.Requests + b.Limited + b.Denied; all > top {
			top, c.Busiest = all, fmt.Sprintf("%s with %s", b.At, grouped(all))
		}
	}
	c.Max = roundUp(top)
	for i := range c.Bars {
		c.Bars[i].draw(c.Max)
	}
	c.First, c.Middle, c.Last = c.Bars[0].At, c.Bars[s.bars/2].At, c.Bars[s.bars-1].At
	return c
}

// draw stacks the parts of a bar, at least a line each so that one refusal
// beside a thousand requests is seen.
func (b *bar) draw(scale int64) {
	y := float64(plotHeight)
	for _, p := range []struct {
		class string
		n     int64
	}{{"ok", b.Requests}, {"limited", b.Limited}, {"denied", b.Denied}} {
		if p.n == 0 {
			continue
		}
		h := max(2, float64(p.n)*plotHeight/float64(scale))
		y = max(0, y-h)
		b.Parts = append(b.Parts, part{p.class, float64(b.X) + (barStep-barWidth)/2, barWidth, y, h})
	}
}

// Text is the chart in a sentence.
func (c *chart) Text() string {
	if c.Requests+c.Limited+c.Denied == 0 {
		return "No requests in the last " + c.Title + "."
	}
	return fmt.Sprintf("In the last %s: %s admitted, %s limited, %s denied. Busiest: %s.",
		c.Title, plural(c.Requests, "request"), grouped(c.Limited), grouped(c.Denied), c.Busiest)
}

// Any reports whether there is anything to see.
func (c *chart) Any() bool { return c.Requests+c.Limited+c.Denied > 0 }

// Half is the middle of the scale.
func (c *chart) Half() int64 { return c.Max / 2 }

// roundUp is the next round number, an even one.
func roundUp(n int64) int64 {
	if n <= 4 {
		return 4
	}
	for scale := int64(1); scale < 1e17; scale *= 10 {
		for _, step := range []int64{4, 6, 8, 10, 20, 30} {
			if n <= step*scale {
				return step * scale
			}
		}
	}
	return n
}

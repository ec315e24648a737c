package main

import (
	"bytes"
	"fmt"
	"image/color"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/go-apikey/apikey/bench"
)

var (
	blue   = color.RGBA{0x1f, 0x5f, 0xbf, 0xff}
	sky    = color.RGBA{0x4d, 0xa3, 0xe8, 0xff}
	black  = color.RGBA{0x30, 0x30, 0x30, 0xff}
	orange = color.RGBA{0xd9, 0x6b, 0x0b, 0xff}
	grey   = color.RGBA{0xb0, 0xb0, 0xb0, 0xff}
)

// series is points of one kind, with their intervals.
type series struct {
	name   string
	x      []float64
	y      []bench.Estimate
	color  color.Color
	dashed bool
	thin   bool
}

// plotPeers draws all subjects at the smallest size, and how they grow.
func (d *document) plotPeers(s *bench.Set) {
	size := s.Sizes[0]
	load := s.Loads(size)[0]
	d.plotDots(s, size, load)
	if len(s.Sizes) < 2 {
		return
	}
	byColor := map[string]color.Color{bench.HandWritten: black, bench.BareRate: black, hs256: orange, authOnly: blue, ourBuckets: blue, authAll: sky}
	var lines, marked []series
	for _, subject := range s.Subjects(size) {
		l := series{name: "others", color: grey, thin: true}
		if c := byColor[subject.Name]; c != nil {
			l = series{name: subject.Name, color: c}
		}
		for _, size := range s.Sizes {
			load := bench.Load{Case: bench.Accepted, Order: bench.Uniform, Cores: 1}
			if size == 1 {
				load.Order = bench.Hot
			}
			if row := d.Find(bench.Row{Set: s.Name, Size: size, Load: load, Subject: subject.Name}); row != nil && row.Failed == "" {
				l.x, l.y = append(l.x, float64(size)), append(l.y, bench.EstimateOf(row.NS()))
			}
		}
		switch {
		case len(l.x) < 2:
		case l.thin:
			lines = append(lines, l)
		default:
			marked = append(marked, l)
		}
	}
	for i := range lines {
		if i > 0 {
			lines[i].name = "" // in the legend once
		}
	}
	d.plotLines(s.Name+"-sizes.svg", s.Title+", accepted, by the number of "+s.Axis+", used at random", s.Axis, "ns a request", append(lines, marked...), true)
}

// plotDots draws the times of one table, a line each.
func (d *document) plotDots(s *bench.Set, size int, load bench.Load) {
	var names []string
	var times []bench.Estimate
	var mine []bool
	for _, subject := range s.Subjects(size) {
		if row := d.Find(bench.Row{Set: s.Name, Size: size, Load: load, Subject: subject.Name}); row != nil && row.Failed == "" {
			names, times = append(names, subject.Name), append(times, bench.EstimateOf(row.NS()))
			mine = append(mine, strings.HasPrefix(subject.Module, ours))
		}
	}
	if len(names) == 0 {
		return
	}
	slices.Reverse(names) // the first one on top
	slices.Reverse(times)
	slices.Reverse(mine)
	title := s.Title + " (" + heading(s, size, load) + ")"
	p := newPlot(title, "ns (logarithmic)", "")
	logarithmic(&p.X, sizeTicks)
	p.NominalY(names...)
	for i, e := range times {
		c := color.Color(black)
		if mine[i] {
			c = blue
		}
		dot, err := plotter.NewScatter(plotter.XYs{{X: e.Median, Y: float64(i)}})
		if err != nil {
			panic(err) // a time that is no number: it was measured
		}
		dot.GlyphStyle = draw.GlyphStyle{Color: c, Radius: vg.Points(4), Shape: draw.CircleGlyph{}}
		label, err := plotter.NewLabels(plotter.XYLabels{XYs: plotter.XYs{{X: e.High, Y: float64(i)}}, Labels: []string{duration(e.Median)}})
		if err != nil {
			panic(err) // as above
		}
		label.TextStyle[0].Color, label.Offset = c, vg.Point{X: vg.Points(8), Y: -vg.Points(3)}
		p.Add(bar(e.Low, e.High, float64(i), c), dot, label)
	}
	p.X.Min, p.X.Max = roundDown(least(times)), roundUp(greatest(times)*2) // room for the labels
	d.add(s.Name+"-times.svg", title, p, vg.Length(len(names))*vg.Points(17)+vg.Points(70))
}

// bar is a horizontal line: an interval.
func bar(low, high, y float64, c color.Color) *plotter.Line {
	line, err := plotter.NewLine(plotter.XYs{{X: low, Y: y}, {X: high, Y: y}})
	if err != nil {
		panic(err) // a time that is no number: it was measured
	}
	line.LineStyle = draw.LineStyle{Color: c, Width: vg.Points(2)}
	return line
}

// plotCurve draws a curve and the line that it should follow.
func (d *document) plotCurve(c *bench.Curve, points []point) {
	measured, line := series{name: "measured", color: blue}, series{name: "the line", color: orange, dashed: true}
	for _, p := range points {
		measured.x, measured.y = append(measured.x, float64(p.size)), append(measured.y, p.time)
		if !math.IsNaN(p.line) {
			line.x, line.y = append(line.x, float64(p.size)), append(line.y, bench.Estimate{Median: p.line, Low: p.line, High: p.line})
		}
	}
	if len(points) < 2 {
		return
	}
	logX := points[len(points)-1].size > 100
	d.plotLines(c.Name+".svg", c.Title, c.Axis, "ns a verification", []series{line, measured}, logX)
	if c.Bytes == 0 {
		return
	}
	rest, used := series{name: "at rest", color: blue}, series{name: "in use", color: sky}
	limit := series{name: fmt.Sprintf("%.0f bytes each", c.Bytes), color: orange, dashed: true}
	exactly := func(x float64) bench.Estimate { return bench.Estimate{Median: x, Low: x, High: x} }
	for _, p := range points {
		if p.size < 1000 {
			continue
		}
		x := float64(p.size)
		rest.x, rest.y = append(rest.x, x), append(rest.y, exactly(float64(p.proc.Heap)/(1<<20)))
		used.x, used.y = append(used.x, x), append(used.y, exactly(float64(p.proc.InUse)/(1<<20)))
		limit.x, limit.y = append(limit.x, x), append(limit.y, exactly(x*c.Bytes/(1<<20)))
	}
	if len(rest.x) > 1 {
		d.plotLines(c.Name+"-memory.svg", c.Title+", memory", c.Axis, "MiB", []series{limit, used, rest}, true)
	}
}

// plotLines draws series; with logX both axes are logarithmic where the figures
// span more than a decade.
func (d *document) plotLines(file, title, x, y string, all []series, logX bool) {
	var every []bench.Estimate
	var xs []float64
	p := newPlot(title, x, y)
	for _, s := range all {
		every, xs = append(every, s.y...), append(xs, s.x...)
	}
	if len(xs) == 0 {
		return
	}
	if logX {
		p.X.Label.Text += " (logarithmic)"
		logarithmic(&p.X, sizeTicks)
	}
	p.Y.Min = 0
	if logX && greatest(every) > 10*least(every) {
		p.Y.Label.Text += " (logarithmic)"
		logarithmic(&p.Y, sizeTicks)
		p.Y.Min, p.Y.Max = roundDown(least(every)), roundUp(greatest(every))
	}
	yMin, yMax := p.Y.Min, p.Y.Max
	for _, s := range all {
		s.add(p)
	}
	p.X.Min, p.X.Max, p.Y.Min = slices.Min(xs), slices.Max(xs), yMin
	if yMax > yMin {
		p.Y.Max = yMax
	} else {
		p.Y.Max = greatest(every) * 1.25 // room for the legend
	}
	p.Legend.Top, p.Legend.Left = true, true
	d.add(file, title, p, vg.Points(260))
}

// add draws a series.
func (s *series) add(p *plot.Plot) {
	points := make(plotter.XYs, len(s.x))
	for i, x := range s.x {
		points[i] = plotter.XY{X: x, Y: s.y[i].Median}
	}
	line, dots, err := plotter.NewLinePoints(points)
	if err != nil {
		panic(err) // a time that is no number: it was measured
	}
	line.LineStyle = draw.LineStyle{Color: s.color, Width: vg.Points(1.8)}
	if s.thin {
		line.Width = vg.Points(1)
	}
	dots.GlyphStyle = draw.GlyphStyle{Color: s.color, Radius: vg.Points(2.5), Shape: draw.CircleGlyph{}}
	if s.dashed {
		line.Dashes, dots.Radius = []vg.Length{vg.Points(5), vg.Points(3)}, 0
	}
	p.Add(line, dots)
	for i, x := range s.x {
		if s.y[i].Low == s.y[i].High {
			continue
		}
		interval, err := plotter.NewLine(plotter.XYs{{X: x, Y: s.y[i].Low}, {X: x, Y: s.y[i].High}})
		if err != nil {
			panic(err) // as above
		}
		interval.LineStyle = draw.LineStyle{Color: s.color, Width: vg.Points(1)}
		p.Add(interval)
	}
	if s.name != "" {
		p.Legend.Add(s.name, line)
	}
}

func newPlot(title, x, y string) *plot.Plot {
	p := plot.New()
	p.BackgroundColor = color.White
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	p.Title.TextStyle.Font.Size, p.Title.Padding = vg.Points(12), vg.Points(6)
	for _, style := range []*draw.TextStyle{&p.Title.TextStyle, &p.X.Label.TextStyle, &p.Y.Label.TextStyle, &p.X.Tick.Label, &p.Y.Tick.Label, &p.Legend.TextStyle} {
		style.Font.Variant = "Sans"
	}
	p.Add(plotter.NewGrid())
	return p
}

// logarithmic makes an axis so.
func logarithmic(a *plot.Axis, ticks plot.Ticker) { a.Scale, a.Tick.Marker = plot.LogScale{}, ticks }

// sizeTicks are 1, 2, 5, 10, … where there is room, else 1, 10, 100, ….
var sizeTicks = plot.TickerFunc(func(least, greatest float64) []plot.Tick {
	steps := []float64{1, 2, 5}
	if greatest > 200*least {
		steps = steps[:1]
	}
	var ticks []plot.Tick
	for decade := math.Pow(10, math.Floor(math.Log10(least))); decade <= greatest; decade *= 10 {
		for _, step := range steps {
			if at := decade * step; at >= least*0.999 && at <= greatest*1.001 {
				ticks = append(ticks, plot.Tick{Value: at, Label: tickLabel(at)})
			}
		}
	}
	return ticks
})

func tickLabel(x float64) string {
	if x < 1 {
		return digits(x)
	}
	return count(int64(math.Round(x)))
}

func least(all []bench.Estimate) float64 {
	return slices.MinFunc(all, func(a, b bench.Estimate) int { return compareFloats(a.Low, b.Low) }).Low
}

func greatest(all []bench.Estimate) float64 {
	return slices.MaxFunc(all, func(a, b bench.Estimate) int { return compareFloats(a.High, b.High) }).High
}

func compareFloats(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// roundDown is the next of 1, 2, 5, 10, … below x.
func roundDown(x float64) float64 {
	decade := math.Pow(10, math.Floor(math.Log10(x)))
	for _, step := range []float64{5, 2} {
		if x >= step*decade {
			return step * decade
		}
	}
	return decade
}

// roundUp is the next one above.
func roundUp(x float64) float64 {
	decade := math.Pow(10, math.Floor(math.Log10(x)))
	for _, step := range []float64{1, 2, 5} {
		if x <= step*decade {
			return step * decade
		}
	}
	return 10 * decade
}

// add keeps a plot as a file and shows it.
func (d *document) add(file, title string, p *plot.Plot, height vg.Length) {
	canvas := vgsvg.New(vg.Points(560), height)
	p.Draw(draw.Crop(draw.New(canvas), vg.Points(8), -vg.Points(16), vg.Points(6), -vg.Points(6)))
	var svg bytes.Buffer
	if _, err := canvas.WriteTo(&svg); err != nil {
		panic(err) // a buffer takes all
	}
	// Where the font is not installed, one like it.
	d.plots[file] = bytes.ReplaceAll(svg.Bytes(), []byte("font-family:Liberation Sans;"), []byte("font-family:'Liberation Sans',Arial,Helvetica,sans-serif;"))
	d.printf("![%s](%s/%s)\n\n", title, plotsDir, file)
}

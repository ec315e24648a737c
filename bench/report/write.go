package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/go-apikey/apikey/bench"
)

// write writes the report. All prose is here and in the files of its parts; all
// figures come from m.
func write(m *measured) *document {
	d := &document{measured: m, plots: make(map[string][]byte)}
	d.printf("## Side by side\n\n")
	d.how()
	d.targets()
	for _, s := range bench.Peers(m.Short) {
		d.peers(&s)
	}
	d.growth()
	refused := bench.Refused(m.Short)
	d.refused(&refused)
	d.load()
	d.floors()
	return d
}

// how says how it was measured.
func (d *document) how() {
	d.printf("`%s` on %s: %s, %d cores", d.Command, d.Started.Format("2 January 2006"), orElse(d.Machine.Model, "a processor that does not say its name"), d.Machine.Cores)
	if d.Machine.Memory > 0 {
		d.printf(", %.0f GiB", d.Machine.Memory)
	}
	d.printf(", %s, %s; %.0f minutes, seed %d.\n", d.Machine.System, d.Machine.Go, d.Took.Minutes(), d.Seed)
	d.printf("Each subject at each size has a process of its own, which stands still while it is not measured. A round sends requests for %v; there are %d rounds, the rows of each in an order that is drawn.\n", d.Long, d.Rounds)
	d.printf("Figures are medians of the rounds, with the interval in brackets that holds the true median with a probability of %.0f %%, by order statistics", 100*bench.Confidence)
	if d.Rounds < 6 {
		d.printf(" (with so few rounds: the least and the greatest)")
	}
	d.printf(". × is how many times the base takes, round by round, so that what disturbs both is in neither. ")
	d.printf("A request is a call of the handler with a request that is used again and a writer that keeps nothing: what a server does besides is not in the figures. ")
	d.printf("Between two requests stands an instruction that the processor does not read past. GC is the share of processor time that went to garbage collections which ended within the rounds. ")
	d.printf("On two cores two clients send at once, and a figure is the time by the requests of both. Go's collector has its defaults, so that a small heap is collected often. ")
	d.printf("Below each table stands what repeats it; a row alone is repeated by its name behind that, in lower case and with hyphens for what is no letter (`-list` has them all).\n\n")
	for _, p := range d.Problems {
		what, _, _ := strings.Cut(p, "\n")
		d.printf("**Not measured: %s**\n\n", what)
	}
	for _, p := range d.Procs {
		if p.Failed != "" {
			d.printf("**Not measured: %s/%d, %s: %s**\n\n", p.Set, p.Size, p.Subject, p.Failed)
		}
	}
}

// peers is a set of subjects side by side.
func (d *document) peers(s *bench.Set) {
	if !slices.ContainsFunc(d.Rows, func(r bench.RowResult) bool { return r.Set == s.Name }) {
		return
	}
	d.printf("### %s\n\n%s\n\n", s.Title, s.About)
	d.plotPeers(s)
	d.subjects(s)
	for _, size := range s.Sizes {
		for _, load := range s.Loads(size) {
			d.rows(s, size, load)
		}
	}
	for _, o := range s.Omitted {
		d.printf("Not measured, rows `%s`: %s.\n\n", o.Rows, o.Why)
	}
}

// subjects says what is set side by side.
func (d *document) subjects(s *bench.Set) {
	var rows [][]string
	for _, subject := range s.Subjects(s.Sizes[0]) {
		i := slices.IndexFunc(d.Procs, func(p bench.Proc) bool { return p.Set == s.Name && p.Subject == subject.Name })
		if i < 0 {
			continue
		}
		leaves := subject.Leaves
		if d.Procs[i].Absent != "" {
			leaves = "**not measured: " + d.Procs[i].Absent + "** " + leaves
		}
		rows = append(rows, []string{subject.Name, d.version(subject.Module), leaves})
	}
	d.printf("| | module | what it leaves out |\n|---|---|---|\n")
	for _, row := range rows {
		d.printf("| %s |\n", strings.Join(row, " | "))
	}
	d.printf("\n")
}

// version is a module with its version.
func (d *document) version(module string) string {
	switch version := d.Modules[module]; {
	case module == "":
		return "Go's own packages"
	case strings.HasPrefix(module, ours):
		return "this checkout"
	case version == "":
		return module
	default:
		return module + " " + version
	}
}

const ours = "github.com/go-apikey/apikey"

// rows is a table of all subjects with one load. Those that most readers look
// for are open.
func (d *document) rows(s *bench.Set, size int, load bench.Load) {
	var rows [][]string
	for _, subject := range s.Subjects(size) {
		if row := d.Find(bench.Row{Set: s.Name, Size: size, Load: load, Subject: subject.Name}); row != nil {
			name := subject.Name
			if strings.HasPrefix(subject.Module, ours) {
				name = "**" + name + "**"
			}
			rows = append(rows, append([]string{name}, d.cells(row, d.Find(s.Base(row.Row)))...))
		}
	}
	if len(rows) == 0 {
		return
	}
	open := load.Case == bench.Accepted && load.Cores == 1 && load.Order != bench.Zipf
	if open {
		d.printf("**%s**\n\n", heading(s, size, load))
	} else {
		d.printf("<details><summary>%s</summary>\n\n", heading(s, size, load))
	}
	d.table([]string{"", "time", "×", "allocations", "bytes", "GC"}, rows)
	d.reproduce("%s/%d/%s/", s.Name, size, load)
	if !open {
		d.printf("</details>\n\n")
	}
}

// cells are the figures of a row beside its base.
func (d *document) cells(row, base *bench.RowResult) []string {
	if row.Failed != "" {
		return []string{"fails: " + strings.TrimPrefix(row.Failed, "bench: "), "–", "–", "–", "–"}
	}
	beside := bench.EstimateOf(nil)
	if base != nil && base.Failed == "" {
		beside = bench.EstimateOf(bench.Ratios(row.NS(), base.NS()))
	}
	return []string{
		spread(bench.EstimateOf(row.NS())), ratio(beside),
		amount(bench.Median(row.Allocs())), amount(bench.Median(row.Bytes())), percent(row.GC()),
	}
}

// heading says what a table is about.
func heading(s *bench.Set, size int, load bench.Load) string {
	text := plural(size, s.Axis)
	if size > 1 {
		text += ", " + string(load.Order)
	}
	text += ": " + string(load.Case)
	if load.Cores > 1 {
		text += fmt.Sprintf(", %d cores", load.Cores)
	}
	return text
}

// reproduce is the command that measures the rows above it again. A row alone
// is its prefix and its name in lower case, with hyphens.
func (d *document) reproduce(format string, args ...any) {
	prefix := regexp.QuoteMeta(fmt.Sprintf(format, args...))
	short := ""
	if d.Short {
		short = " -short"
	}
	d.printf("`go run ./bench/report%s -run '^%s'`\n\n", short, prefix)
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

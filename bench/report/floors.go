package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// floor is a benchmark of the root module that has the library beside the same
// work written out by hand.
type floor struct {
	Name   string  `json:"name"`
	Floor  float64 `json:"floor"` // ns
	Ours   float64 `json:"ours"`  // ns
	Ratio  float64 `json:"ratio"`
	Allocs float64 `json:"allocs"`
}

// floorsWanted are the benchmarks, and the most that each may take: as a
// multiple of its floor, and in allocations.
var floorsWanted = []struct {
	name   string
	ratio  float64 // 0: only told
	allocs float64
}{
	{"Verify/keys=1/plan=false", 1.15, 0},
	{"Verify/keys=100000/plan=false", 1.15, 0},
	{"Verify/keys=1000000/plan=false", 1.15, 0},
	{"Verify/keys=1/plan=true", 1.3, 0},
	{"Verify/keys=100000/plan=true", 0, 0},
	{"Verify/keys=1000000/plan=true", 1.5, 0},
	{"VerifyWrongChecksum", 2, 0},
	{"Guard/keys=1", 1.3, 2},
	{"Guard/keys=1000000", 1.3, 2},
	{"GuardAll/keys=1/naive", 1.5, 4},
	{"GuardAll/keys=1/hand", 0.8, 4},
	{"GuardAll/keys=1000000/naive", 0, 4},
	{"GuardAll/keys=1000000/hand", 0.8, 4},
}

// floorNames are the names of their rows.
func floorNames() []string {
	names := make([]string, len(floorsWanted))
	for i, f := range floorsWanted {
		names[i] = "floors/" + f.name
	}
	return names
}

// measureFloors runs the benchmarks, one after the other, each in a process of
// its own: with a second million of keys in memory the ratios are others. It
// needs the checkout, and the go command.
func measureFloors(ctx context.Context, o *options, stderr io.Writer) ([]floor, error) {
	var names []string
	for i, name := range floorNames() {
		if o.run.MatchString(name) && !(o.short && strings.Contains(name, "000")) {
			names = append(names, floorsWanted[i].name)
		}
	}
	if len(names) == 0 {
		return nil, nil
	}
	dir, err := os.MkdirTemp("", "floors")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	program := filepath.Join(dir, "floors.test")
	if out, err := exec.CommandContext(ctx, "go", "test", "-c", "-o", program, "github.com/go-apikey/apikey").CombinedOutput(); err != nil { //nolint:gosec // G204: nothing of it comes from without
		return nil, fmt.Errorf("the benchmarks of the root module: %w\n%s", err, out)
	}
	var floors []floor
	for _, name := range names {
		pattern := "^Benchmark" + strings.ReplaceAll(name, "/", "$/^") + "$"
		out, err := exec.CommandContext(ctx, program, "-test.run", "^$", "-test.bench", pattern, "-test.benchtime", "1x").CombinedOutput() //nolint:gosec // G204: as above
		if err != nil {
			return floors, fmt.Errorf("%s: %w\n%s", name, err, out)
		}
		f, err := parseFloor(name, string(out))
		if err != nil {
			return floors, fmt.Errorf("%s: %w\n%s", name, err, out)
		}
		floors = append(floors, f)
		if _, err := fmt.Fprintf(stderr, "floors/%s: %.2f\n", name, f.Ratio); err != nil {
			return nil, err
		}
	}
	return floors, nil
}

// parseFloor reads what a benchmark printed.
func parseFloor(name, out string) (floor, error) {
	var errs []error
	metric := func(unit string) float64 {
		found := regexp.MustCompile(`([\d.e+-]+) ` + unit + `\b`).FindStringSubmatch(out)
		if found == nil {
			errs = append(errs, errors.New("it does not say its "+unit))
			return 0
		}
		value, err := strconv.ParseFloat(found[1], 64)
		errs = append(errs, err)
		return value
	}
	f := floor{Name: name, Floor: metric("floor-ns"), Ours: metric("ours-ns"), Ratio: metric("ratio"), Allocs: metric("allocs")}
	f.Allocs = math.Round(f.Allocs*10) / 10 // the harness itself allocates a little between rounds
	return f, errors.Join(errs...)
}

// floors is the table of them.
func (d *document) floors() {
	var rows [][]string
	for _, f := range d.Floors {
		rows = append(rows, []string{"`" + f.Name + "`", duration(f.Floor), duration(f.Ours), digits(f.Ratio), amount(f.Allocs)})
	}
	if len(rows) == 0 {
		return
	}
	d.printf("### The core beside its floors\n\nBenchmarks of the root module: the same work written out by hand, no library, in rounds by turns; medians of 15. × is beside the floor.\n\n")
	d.table([]string{"", "floor", "ours", "×", "allocations"}, rows)
	d.reproduce("floors/")
}

// floorFindings judge each.
func (d *document) floorFindings() []finding {
	var found []finding
	for _, f := range d.Floors {
		for _, wanted := range floorsWanted {
			if wanted.name != f.Name || wanted.ratio == 0 {
				continue
			}
			verdict := reached
			if f.Ratio > wanted.ratio || f.Allocs > wanted.allocs {
				verdict = missed
			}
			found = append(found, finding{
				where:    "`" + f.Name + "`",
				measured: fmt.Sprintf("%s × its floor, %s; wanted: at most %s ×, %s", digits(f.Ratio), allocations(f.Allocs), digits(wanted.ratio), allocations(wanted.allocs)),
				verdict:  verdict,
			})
		}
	}
	return found
}

func allocations(n float64) string {
	if n == 1 {
		return "1 allocation"
	}
	return amount(n) + " allocations"
}

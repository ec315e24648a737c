package bench

import (
	"math"
	"testing"
)

// TestGrowthSubjects: every size of every curve does its job, and what is
// refused is refused for what it is called.
func TestGrowthSubjects(t *testing.T) {
	var sets []Set
	for _, c := range Growth(true) {
		sets = append(sets, c.Set)
	}
	for _, s := range append(sets, Refused(true)) {
		for _, size := range s.Sizes {
			if size > 1000 && testing.Short() {
				continue
			}
			for _, subject := range s.Subjects(size) {
				running, err := subject.Start(s.workload(size))
				if err != nil {
					t.Fatalf("%s/%d: %v", s.Name, size, err)
				}
				for _, load := range s.Loads(size) {
					for i, request := range running.Requests(load.Case) {
						status := running.Client(load.Case)(request)
						if (status == 204) != (load.Case == Accepted) {
							t.Fatalf("%s/%d, %s: request %d of the case %q is answered %d", s.Name, size, subject.Name, i, load.Case, status)
						}
						if i == 100 {
							break
						}
					}
				}
				running.Close()
			}
		}
	}
}

// TestLines: a line begins where its curve begins, never falls, and is not
// known where what it needs was not measured.
func TestLines(t *testing.T) {
	for _, c := range Growth(false) {
		of := func(r Row) float64 { return 100 + float64(r.Size)/1e6 } // of one read too
		last := 0.0
		for i, size := range c.Sizes {
			at := c.Line(size, of)
			if first := of(Row{Size: c.Sizes[0]}); i == 0 && math.Abs(at-first) > 1 {
				t.Errorf("%s begins at %g, want %g", c.Name, at, first)
			}
			if at < last {
				t.Errorf("%s falls at %d", c.Name, size)
			}
			last = at
		}
		if at := c.Line(c.Sizes[0], func(Row) float64 { return math.NaN() }); !math.IsNaN(at) {
			t.Errorf("%s is %g, of nothing", c.Name, at)
		}
	}
}

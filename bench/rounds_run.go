package bench

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"regexp"
	"slices"
	"time"
)

// Options are how rows are measured.
type Options struct {
	Run      *regexp.Regexp // rows whose names match, and those that they are set beside
	Rounds   int
	Long     time.Duration // how long a round of a row is
	Seed     uint64        // of the order of rounds
	Command  func(args ...string) *exec.Cmd
	Progress io.Writer
}

// Results are what was measured.
type Results struct {
	Procs []Proc      `json:"procs"`
	Rows  []RowResult `json:"rows"`
}

// RowResult is all rounds of a row. Those of rows of one set and size (or of a
// set that is measured together) belong together, one by one.
type RowResult struct {
	Row
	N       int      `json:"n"` // requests a round
	Samples []Sample `json:"samples"`
	Failed  string   `json:"failed,omitempty"` // why it was not measured: the subject did not do its job under this load
}

// NS are the times of all rounds.
func (r *RowResult) NS() []float64 {
	return r.each(func(s Sample) float64 { return s.NS })
}

// Allocs are the allocations of all rounds.
func (r *RowResult) Allocs() []float64 {
	return r.each(func(s Sample) float64 { return s.Allocs })
}

// Bytes are what all rounds allocated.
func (r *RowResult) Bytes() []float64 {
	return r.each(func(s Sample) float64 { return s.Bytes })
}

// GC is the share of the garbage collector over all rounds.
func (r *RowResult) GC() float64 {
	sum := 0.0
	for _, s := range r.Samples {
		sum += s.GC
	}
	return sum / float64(max(len(r.Samples), 1))
}

func (r *RowResult) each(f func(Sample) float64) []float64 {
	values := make([]float64, len(r.Samples))
	for i, s := range r.Samples {
		values[i] = f(s)
	}
	return values
}

// Find is the result of a row; nil, if it was not measured.
func (r *Results) Find(row Row) *RowResult {
	i := slices.IndexFunc(r.Rows, func(result RowResult) bool { return result.Row == row })
	if i < 0 {
		return nil
	}
	return &r.Rows[i]
}

// Measure measures the rows of a set, in rounds: in each round every row once,
// in another order each time, but the subjects of one load one after the other,
// so that what is set side by side is measured within a second or so.
func Measure(ctx context.Context, s *Set, o Options) (*Results, error) {
	rows := s.Select(o.Run)
	results := &Results{}
	for len(rows) > 0 {
		batch := rows
		if !s.Together {
			batch = slices.Clone(rows)
			batch = slices.DeleteFunc(batch, func(r Row) bool { return r.Size != rows[0].Size })
		}
		if err := results.measure(ctx, batch, o); err != nil {
			return nil, err
		}
		rows = rows[len(batch):]
	}
	return results, nil
}

// process names one.
type process struct {
	size    int
	subject string
}

// measure measures rows whose processes are there at the same time.
func (r *Results) measure(ctx context.Context, rows []Row, o Options) error {
	began := time.Now()
	children := make(map[process]*child)
	defer func() {
		for _, c := range children {
			c.close()
		}
	}()
	for _, row := range rows {
		p := process{row.Size, row.Subject}
		if children[p] != nil {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		c, err := spawn(o.Command, row)
		if err != nil {
			return err
		}
		children[p] = c
	}
	ready := time.Since(began)
	measured, err := calibrate(ctx, rows, children, o)
	if err != nil {
		return err
	}
	if err := inRounds(ctx, measured, children, o); err != nil {
		return err
	}
	for _, row := range rows {
		p := process{row.Size, row.Subject}
		if c := children[p]; c != nil {
			r.Procs = append(r.Procs, c.Proc)
			c.close()
			delete(children, p)
		}
	}
	r.Rows = append(r.Rows, measured...)
	_, err = fmt.Fprintf(o.Progress, "%s/%d: %d rows, %.0f s, of them %.0f s to make ready\n", rows[0].Set, rows[0].Size, len(measured), time.Since(began).Seconds(), ready.Seconds())
	return err
}

// calibrate finds out how many requests fill a round, and which rows there are.
func calibrate(ctx context.Context, rows []Row, children map[process]*child, o Options) ([]RowResult, error) {
	var measured []RowResult
	for _, row := range rows {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		c := children[process{row.Size, row.Subject}]
		if c.Absent != "" || c.Failed != "" {
			continue
		}
		a, err := c.tell(errand{Load: row.Load, Long: o.Long})
		if err != nil {
			return nil, err
		}
		if !a.NoCase {
			measured = append(measured, RowResult{Row: row, N: a.N, Failed: a.Err})
		}
	}
	for _, c := range children {
		if c.Absent != "" || c.Failed != "" {
			continue
		}
		a, err := c.tell(errand{})
		if err != nil {
			return nil, err
		}
		c.InUse = a.Heap
	}
	return measured, nil
}

// inRounds measures the rows.
func inRounds(ctx context.Context, rows []RowResult, children map[process]*child, o Options) error {
	random := newRandom(o.Seed)
	for range o.Rounds {
		for _, i := range shuffled(rows, random) {
			if err := ctx.Err(); err != nil {
				return err
			}
			row := &rows[i]
			if row.Failed != "" {
				continue
			}
			a, err := children[process{row.Size, row.Subject}].tell(errand{Load: row.Load, N: row.N})
			if err != nil {
				return fmt.Errorf("%s: %w", row.Name(), err)
			}
			if row.Failed = a.Err; row.Failed == "" {
				row.Samples = append(row.Samples, a.Sample)
			}
		}
	}
	return nil
}

func newRandom(seed uint64) *rand.Rand {
	return rand.New(rand.NewPCG(seed, 5)) //nolint:gosec // G404: repeatable
}

// shuffled is an order of rows: the loads at random, and within each load its
// subjects at random.
func shuffled(rows []RowResult, random *rand.Rand) []int {
	when := make(map[Load]int)
	for _, row := range rows {
		if _, ok := when[row.Load]; !ok {
			when[row.Load] = random.Int()
		}
	}
	indexes := random.Perm(len(rows))
	slices.SortStableFunc(indexes, func(a, b int) int { return cmp.Compare(when[rows[a].Load], when[rows[b].Load]) })
	return indexes
}

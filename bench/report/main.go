// Command report measures apikey beside what people would use instead, how its
// cost grows, and a whole server under load, and writes what it found into
// BENCHMARKS.md, with plots beside it. From the top of the checkout:
//
//	go run ./bench/report
//
// takes about 20 minutes on two cores with nothing else to do, and up to 8 GB.
// Rows have names, and those that match are measured alone, with what they are
// set beside, and printed:
//
//	go run ./bench/report -run '^auth/1/hot/accepted/gin'
//
// All names are listed by -list. A short run, of two minutes, shows that all of
// it works: its sizes are small, and its figures are rough.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-apikey/apikey/bench"
	"github.com/go-apikey/apikey/bench/load"
)

func main() {
	load.Main() // here it may be the server under load
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "report:", err) // nowhere else to say it
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	run     *regexp.Regexp
	all     bool // -run was not given
	short   bool
	list    bool
	rounds  int
	long    time.Duration
	seed    uint64
	json    string
	from    string
	out     string
	child   string
	size    int
	subject string
}

func parse(args []string, stderr io.Writer) (*options, error) {
	var o options
	var pattern string
	flags := flag.NewFlagSet("report", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&pattern, "run", "", "measure the rows whose names match, and those that they are set beside, and print them")
	flags.BoolVar(&o.short, "short", false, "small sizes and few rounds, and print them")
	flags.BoolVar(&o.list, "list", false, "print the names of all rows")
	flags.IntVar(&o.rounds, "rounds", 0, "`number` of rounds (0: 15; with -short 5)")
	flags.DurationVar(&o.long, "long", 0, "how long a round of one row is (0: 50ms; with -short 10ms)")
	flags.Uint64Var(&o.seed, "seed", 0, "of the order of rounds (0: one that is drawn, and told)")
	flags.StringVar(&o.json, "json", "", "write the results to `file` too")
	flags.StringVar(&o.from, "from", "", "measure nothing: take the results from `file`")
	flags.StringVar(&o.out, "o", "", "write into this `file`, between its markers, with the plots in docs/plots beside it (BENCHMARKS.md, if neither -run nor -short is given)")
	flags.StringVar(&o.child, "child", "", "for the program's own use, as are -size and -subject")
	flags.IntVar(&o.size, "size", 0, "")
	flags.StringVar(&o.subject, "subject", "", "")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("%q is no flag", flags.Arg(0))
	}
	var err error
	if o.run, err = regexp.Compile(pattern); err != nil {
		return nil, err
	}
	o.all = pattern == ""
	if o.rounds == 0 {
		o.rounds = map[bool]int{false: 15, true: 5}[o.short]
	}
	if o.long == 0 {
		o.long = map[bool]time.Duration{false: 50 * time.Millisecond, true: 10 * time.Millisecond}[o.short]
	}
	if o.seed == 0 {
		o.seed = rand.Uint64N(1_000_000) //nolint:gosec // G404: an order of rounds
	}
	if o.out == "" && o.child == "" && (o.from != "" || o.all && !o.short) {
		o.out = "BENCHMARKS.md"
	}
	return &o, nil
}

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	switch {
	case o.child != "":
		return child(o, stdin, stdout)
	case o.list:
		return list(o, stdout)
	}
	if o.out != "" { // before the minutes are spent
		if _, err := splitDocument(o.out); err != nil {
			return err
		}
	}
	m, err := results(ctx, o, args, stderr)
	if err != nil {
		return err
	}
	if err := deliver(o, m, stdout); err != nil {
		return err
	}
	return m.failures()
}

// sets are all sets of rows.
func sets(short bool) []bench.Set {
	all := bench.Peers(short)
	for _, curve := range bench.Growth(short) {
		all = append(all, curve.Set)
	}
	return append(all, bench.Refused(short))
}

// child is this program as a process of one subject.
func child(o *options, stdin io.Reader, stdout io.Writer) error {
	for _, short := range []bool{false, true} {
		for _, s := range sets(short) {
			if s.Name == o.child && slices.Contains(s.Sizes, o.size) && short == o.short {
				return bench.Child(&s, o.size, o.subject, stdin, stdout)
			}
		}
	}
	return fmt.Errorf("there is no set %q of size %d", o.child, o.size)
}

func list(o *options, stdout io.Writer) error {
	var names strings.Builder
	for _, s := range sets(o.short) {
		for _, row := range s.Rows() {
			if o.run.MatchString(row.Name()) {
				names.WriteString(row.Name() + "\n")
			}
		}
	}
	for _, name := range append(floorNames(), "load") {
		if o.run.MatchString(name) {
			names.WriteString(name + "\n")
		}
	}
	_, err := io.WriteString(stdout, names.String())
	return err
}

// results measures, or reads what was measured before.
func results(ctx context.Context, o *options, args []string, stderr io.Writer) (*measured, error) {
	if o.from != "" {
		data, err := os.ReadFile(o.from) //nolint:gosec // G703: its user names it
		if err != nil {
			return nil, err
		}
		m := new(measured)
		return m, json.Unmarshal(data, m)
	}
	m, err := measure(ctx, o, args, stderr)
	if err != nil || o.json == "" {
		return m, err
	}
	data, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	return m, os.WriteFile(o.json, data, 0o600) //nolint:gosec // G703: as above
}

// measured is all that a run found.
type measured struct {
	Command string            `json:"command"`
	Started time.Time         `json:"started"`
	Took    time.Duration     `json:"took"`
	Machine machine           `json:"machine"`
	Modules map[string]string `json:"modules"` // versions by path
	Short   bool              `json:"short"`
	Seed    uint64            `json:"seed"`
	Rounds  int               `json:"rounds"`
	Long    time.Duration     `json:"long"`
	bench.Results
	Floors   []floor       `json:"floors"`
	Load     *load.Results `json:"load,omitempty"`
	Problems []string      `json:"problems,omitempty"` // why the two before this are not all there
}

func measure(ctx context.Context, o *options, args []string, stderr io.Writer) (*measured, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	m := &measured{
		Command: command(args), Started: time.Now().UTC(), Machine: thisMachine(), Modules: modules(),
		Short: o.short, Seed: o.seed, Rounds: o.rounds, Long: o.long,
	}
	if _, err := fmt.Fprintf(stderr, "seed %d\n", o.seed); err != nil {
		return nil, err
	}
	how := bench.Options{
		Run: o.run, Rounds: o.rounds, Long: o.long, Seed: o.seed, Progress: stderr,
		Command: func(args ...string) *exec.Cmd {
			cmd := exec.CommandContext(ctx, program, append(args, fmt.Sprintf("-short=%t", o.short))...) //nolint:gosec // G204: it is this program
			cmd.Stderr = stderr
			return cmd
		},
	}
	for _, s := range sets(o.short) {
		found, err := bench.Measure(ctx, &s, how)
		if err != nil {
			return nil, err
		}
		m.Procs, m.Rows = append(m.Procs, found.Procs...), append(m.Rows, found.Rows...)
	}
	// What was measured so far is not thrown away for what comes last.
	if err := m.measureLoad(ctx, o, stderr); err != nil {
		m.Problems = append(m.Problems, "load: "+err.Error())
	}
	if m.Floors, err = measureFloors(ctx, o, stderr); err != nil {
		m.Problems = append(m.Problems, "floors: "+err.Error())
	}
	m.Took = time.Since(m.Started)
	return m, nil
}

// measureLoad puts a whole server under load.
func (m *measured) measureLoad(ctx context.Context, o *options, stderr io.Writer) error {
	if !o.run.MatchString("load") {
		return nil
	}
	var how load.Options
	if o.short {
		how = load.Short()
	}
	how.Progress = func(what string) { _, _ = fmt.Fprintln(stderr, "load:", what) } // that it cannot be told stops nothing
	found, err := load.Run(ctx, how)
	if err != nil {
		return err
	}
	m.Load = &found
	_, err = fmt.Fprintf(stderr, "load: %.0f s\n", found.Took.Seconds())
	return err
}

// failures are what of ours did not do what it was to do, and subjects that
// could not be made ready. That a peer fails under some load is in its table.
func (m *measured) failures() error {
	var errs []error
	for _, p := range m.Problems {
		errs = append(errs, errors.New(p))
	}
	for _, p := range m.Procs {
		if p.Failed != "" {
			errs = append(errs, fmt.Errorf("%s/%d, %s: %s", p.Set, p.Size, p.Subject, p.Failed))
		}
	}
	for _, row := range m.Rows {
		if row.Failed != "" && !isPeer(row.Subject) {
			errs = append(errs, fmt.Errorf("%s: %s", row.Name(), row.Failed))
		}
	}
	return errors.Join(errs...)
}

// command is the line that was typed, without what makes no difference to a
// reader.
func command(args []string) string {
	line := "go run ./bench/report"
	for i := 0; i < len(args); i++ {
		if flag := strings.TrimLeft(args[i], "-"); flag == "json" || flag == "o" {
			i++ // and its file
			continue
		} else if strings.HasPrefix(flag, "json=") || strings.HasPrefix(flag, "o=") {
			continue
		}
		line += " " + quoted(args[i])
	}
	return line
}

// quoted is an argument as a shell takes it.
func quoted(arg string) string {
	if regexp.MustCompile(`^[\w./=:-]+$`).MatchString(arg) {
		return arg
	}
	return "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
}

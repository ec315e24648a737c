// Package load measures a whole server under load: a handler that is guarded by
// apikey, with everything on, beside the same handler unguarded, over
// connections of the loopback that are kept alive, with the server in a process
// of its own.
//
// Client and server share the cores of one machine. So the closed loop is about
// what both cost together, and figures at a fixed rate are about a server that
// has room. What is ours is the difference between the handlers, which are
// measured in rounds by turns.
package load

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"
)

// Options is how a run is done. The zero Options is a full run, of three
// minutes.
type Options struct {
	Keys        int               // in the Store, and in use; 0: 100,000
	Owners      int               // of them; 0: a tenth of Keys
	IdleBuckets int               // swept at once; 0: 1,000,000
	Connections int               // to each handler; 0: 16
	Rate        float64           // requests a second, where it is fixed; 0: 30 % of what the guarded handler bears in a closed loop
	Rounds      int               // of each measurement; 0: 5
	Round       time.Duration     // how long each takes; 0: 1.8 s
	Progress    func(what string) // is told what is measured next; nil: nobody
}

// Short is a run of ten seconds that shows that all of it works.
func Short() Options {
	return Options{Keys: 2000, IdleBuckets: 20_000, Rounds: 2, Round: 250 * time.Millisecond}
}

func (o Options) withDefaults() Options {
	o.Keys = cmp.Or(o.Keys, 100_000)
	o.Owners = cmp.Or(o.Owners, max(o.Keys/10, 1))
	o.IdleBuckets = cmp.Or(o.IdleBuckets, 1_000_000)
	o.Connections = cmp.Or(o.Connections, 16)
	o.Rounds = cmp.Or(o.Rounds, 5)
	o.Round = cmp.Or(o.Round, 1800*time.Millisecond)
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	return o
}

// Run measures. It starts the calling program again for each server: see [Main].
// An answer that is not 2xx ends it with an error.
func Run(ctx context.Context, o Options) (Results, error) {
	begin := time.Now()
	o = o.withDefaults()
	r := &run{Options: o, Results: Results{
		Cores: runtime.GOMAXPROCS(0), Keys: o.Keys, Owners: o.Owners, IdleBuckets: o.IdleBuckets, Connections: o.Connections,
	}}
	err := r.calm(ctx)
	for _, by := range []string{Nothing, Computation, Management, Flushes, Sweep} {
		if err == nil {
			err = r.disturbed(ctx, by)
		}
	}
	if err != nil {
		return Results{}, errors.Join(ctx.Err(), err)
	}
	r.Results.Took = time.Since(begin)
	return r.Results, nil
}

type run struct {
	Options
	Results Results
}

// measurement is a handler to be measured, and what it showed.
type measurement struct {
	Series
	*target
	at  *process
	sum histogram

	gc, used float64 // processor seconds in rounds that had a cycle
}

func (r *run) measurement(ctx context.Context, name, path string, at *process, tokens []string) (*measurement, error) {
	t, err := dial(ctx, at.started.Addr, "/"+path, tokens, r.Connections)
	if err != nil {
		return nil, err
	}
	return &measurement{Series: Series{Handler: name}, target: t, at: at}, nil
}

// add adds what was seen in a round to what the round cost.
func (m *measurement) add(round Round, s *sample) {
	round.Requests = int(s.latency.N)
	round.PerSecond = float64(s.latency.N) / round.Took.Seconds()
	round.Latency, round.Late = s.latency.latency(), s.late.latency()
	m.Rounds = append(m.Rounds, round)
	m.sum.merge(&s.latency)
	m.All = m.sum.latency()
	if round.Server.GCCycles > 0 {
		m.gc += round.Server.GC * round.Server.used
		m.used += round.Server.used
		m.GC = m.gc / m.used
	}
}

// cost says what f, which sends requests to p, cost both sides.
func cost(p *process, f func() ([]*sample, error)) (round Round, samples []*sample, err error) {
	before, err := p.tell(&order{Do: "gauge", Fresh: true})
	if err != nil {
		return round, nil, err
	}
	start, client := time.Now(), processUsage().cpu
	if samples, err = f(); err != nil {
		return round, nil, err
	}
	round.Took = time.Since(start)
	round.Client = (processUsage().cpu - client).Seconds() / round.Took.Seconds()
	after, err := p.tell(&order{Do: "gauge"})
	if err != nil {
		return round, nil, err
	}
	requests := 0
	for _, s := range samples {
		p.sent += s.sent
		p.answered += s.answered
		requests += int(s.sent)
	}
	round.Server = effort(&before.Gauge, &after.Gauge, requests, round.Took)
	return round, samples, nil
}

// calm measures the three handlers by turns, undisturbed.
func (r *run) calm(ctx context.Context) (err error) {
	alone, err := start(ctx, Alone, setup{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.stop(alone)) }()
	ours, err := start(ctx, "calm", r.setup())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.stop(ours)) }()

	var all []*measurement
	for _, h := range []struct {
		name, path string
		at         *process
	}{{Alone, Unguarded, alone}, {Unguarded, Unguarded, ours}, {Guarded, Guarded, ours}} {
		m, err := r.measurement(ctx, h.name, h.path, h.at, ours.started.Tokens)
		if err != nil {
			return err
		}
		defer m.close()
		all = append(all, m)
	}
	closed := func(m *measurement) (*sample, error) { return m.closed(ctx, r.Round) }
	if r.Results.Closed, err = r.byTurns("closed loop", all, closed); err != nil {
		return err
	}
	perSecond, _, _ := r.Results.Closed[2].Spread(func(x *Round) float64 { return x.PerSecond })
	r.Results.Rate = cmp.Or(r.Rate, 0.3*perSecond)
	r.Results.DisturbedRate = r.Results.Rate / 3
	fixed := func(m *measurement) (*sample, error) { return m.fixed(ctx, time.Now(), r.Round, r.Results.Rate) }
	r.Results.Fixed, err = r.byTurns("fixed rate", all, fixed)
	return err
}

// byTurns measures each in every round, in an order that is drawn.
func (r *run) byTurns(mode string, all []*measurement, once func(m *measurement) (*sample, error)) (series []Series, err error) {
	for _, m := range all {
		*m = measurement{Series: Series{Handler: m.Handler}, target: m.target, at: m.at}
	}
	for n := range r.Rounds {
		for _, i := range rand.Perm(len(all)) { //nolint:gosec // an order that nobody would profit from guessing
			m := all[i]
			r.Progress(fmt.Sprintf("%s, round %d of %d: %s", mode, n+1, r.Rounds, m.Handler))
			round, samples, err := cost(m.at, func() ([]*sample, error) {
				s, err := once(m)
				return []*sample{s}, err
			})
			if err != nil {
				return nil, err
			}
			m.add(round, samples[0])
		}
	}
	for _, m := range all {
		series = append(series, m.Series)
	}
	return series, nil
}

// setup is that of a server with keys.
func (r *run) setup() setup {
	return setup{Guarded: true, Keys: r.Keys, Owners: r.Owners}
}

// stop ends a server and keeps its counts.
func (r *run) stop(p *process) error {
	c, err := p.stop()
	r.Results.Counts = append(r.Results.Counts, c)
	return err
}

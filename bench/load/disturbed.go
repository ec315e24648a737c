package load

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// disturbing is the making of a [Disturbed].
type disturbing struct {
	*run
	Disturbed
	unguarded, guarded *measurement
	probed             probed
}

// disturbed measures both handlers at the same time beside a disturbance.
func (r *run) disturbed(ctx context.Context, by string) error {
	d := &disturbing{
		run: r, Disturbed: Disturbed{By: by},
		unguarded: &measurement{Series: Series{Handler: Unguarded}},
		guarded:   &measurement{Series: Series{Handler: Guarded}},
	}
	servers, rounds, set := 1, r.Rounds, r.setup()
	if by == Sweep { // a server has idle buckets for one round, and sweeps when it is told to
		servers, rounds = r.Rounds, 1
		set.IdleBuckets, set.SweepAfter, set.Flush = r.IdleBuckets, r.Round+time.Second, time.Hour
	}
	for n := range servers {
		if err := d.server(ctx, set, n, rounds); err != nil {
			return err
		}
	}
	d.Unguarded, d.Guarded = d.unguarded.Series, d.guarded.Series
	d.Probe = Probe{d.probed.Guarded.calls(), d.probed.Unguarded.calls(), d.probed.Stopped}
	r.Results.Disturbed = append(r.Results.Disturbed, d.Disturbed)
	return nil
}

// server measures on one server.
func (d *disturbing) server(ctx context.Context, set setup, first, rounds int) (err error) {
	d.Progress("beside " + d.By + ": a server")
	p, err := start(ctx, d.By, set)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.stop(p)) }()
	for _, m := range []*measurement{d.unguarded, d.guarded} {
		if m.target, err = dial(ctx, p.started.Addr, "/"+m.Handler, p.started.Tokens, d.Connections); err != nil {
			return err
		}
		defer m.close()
	}
	for n := range rounds {
		d.Progress(fmt.Sprintf("beside %s, round %d of %d", d.By, first+n+1, d.Rounds))
		if err := d.clients(ctx, p); err != nil {
			return err
		}
		if err := d.probe(p); err != nil {
			return err
		}
	}
	return nil
}

// clients sends requests to both handlers, over connections of their own, so
// that what waits for the one does not hold up the other.
func (d *disturbing) clients(ctx context.Context, p *process) error {
	var samples [2]*sample
	round, _, err := cost(p, func() ([]*sample, error) {
		if _, err := p.tell(&order{Do: "disturb", By: d.By, For: d.Round}); err != nil {
			return nil, err
		}
		var errs [2]error
		var both sync.WaitGroup
		start := time.Now()
		for i, m := range []*measurement{d.unguarded, d.guarded} {
			both.Go(func() { samples[i], errs[i] = m.fixed(ctx, start, d.Round, d.Results.DisturbedRate/2) })
		}
		both.Wait()
		return samples[:], errors.Join(errs[:]...)
	})
	if err != nil {
		return err
	}
	a, err := p.tell(&order{Do: "rest"})
	if err != nil {
		return err
	}
	d.Work.add(&a.Work)
	d.Waits = addWaits(d.Waits, a.Waits)
	d.unguarded.add(round, samples[0])
	d.guarded.add(round, samples[1])
	return nil
}

// probe has the server look at itself.
func (d *disturbing) probe(p *process) error {
	if _, err := p.tell(&order{Do: "disturb", By: d.By, For: d.Round, Hard: true}); err != nil {
		return err
	}
	a, err := p.tell(&order{Do: "probe", For: d.Round})
	if err != nil {
		return err
	}
	d.probed.merge(a.Probe)
	if a, err = p.tell(&order{Do: "rest"}); err != nil {
		return err
	}
	d.ProbeWork.add(&a.Work)
	d.ProbeWaits = addWaits(d.ProbeWaits, a.Waits)
	return nil
}

// addWaits puts together what is of the same function.
func addWaits(all, more []Wait) []Wait {
next:
	for _, w := range more {
		for i := range all {
			if have := &all[i]; have.At == w.At {
				total := have.Mean*time.Duration(have.Count) + w.Mean*time.Duration(w.Count)
				have.Count += w.Count
				have.Mean = total / time.Duration(have.Count)
				continue next
			}
		}
		all = append(all, w)
	}
	return all
}

//go:build linux

package faulttest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-apikey/apikey"
)

const (
	workers      = 8
	storeTimeout = time.Second
	mostLive     = 5 // keys of an owner with a cap
)

// capped is the owner whose cap all workers try to pass.
const capped = "capped"

// newManager is a Manager as a service has one. That its last flush fails is
// no fault here.
func newManager(t testing.TB, store apikey.Store, cfg apikey.Config) *apikey.Manager {
	t.Helper()
	cfg.Plan = func(_ context.Context, owner string) (apikey.Plan, error) {
		if owner == capped {
			return apikey.Plan{Name: "capped", MaxKeys: mostLive}, nil
		}
		return apikey.Plan{Name: "free", MaxKeys: apikey.NoCap}, nil
	}
	cfg.StoreTimeout, cfg.FlushInterval = storeTimeout, cmp.Or(cfg.FlushInterval, 20*time.Millisecond)
	m, err := apikey.New(store, &cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = m.Close(ctx)
	})
	return m
}

// tracked is what one worker, the only one to touch the key, knows of it.
type tracked struct {
	id, owner string
	token     string   // the one that works
	unsure    bool     // a rotation may have ended it
	ended     []string // tokens that were rotated away, which was acknowledged
	acked     int64    // the version that was acknowledged
	slack     int64    // writes since, of which nobody knows the outcome
	revoked   bool     // acknowledged
	dying     bool     // a revocation of which nobody knows the outcome
	deleted   bool     // acknowledged
	vanishing bool     // a deletion of which nobody knows the outcome
	used      int64    // requests that were admitted
	refused   int64    // and refused, by the key's state
}

// load is what workers do to a Manager, and what they were told.
type load struct {
	t     *testing.T
	m     *apikey.Manager
	round string

	acks, unknown, unavailable atomic.Int64

	mu    sync.Mutex
	keys  []*tracked
	maybe map[string]bool // IDs of keys that may have been created
}

// startLoad starts the workers. stop ends them and waits for it.
func startLoad(t *testing.T, m *apikey.Manager, round string) (l *load, stop func()) {
	t.Helper()
	l = &load{t: t, m: m, round: round, maybe: map[string]bool{}}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() {
			w := &worker{load: l, owner: fmt.Sprint("acct-", round, "-", i)}
			for ctx.Err() == nil {
				w.step()
			}
		})
	}
	stop = func() {
		cancel()
		wg.Wait()
	}
	t.Cleanup(stop) // where the test ended in the middle
	return l, stop
}

type worker struct {
	*load
	owner string
	mine  []*tracked
}

// step does one thing.
func (w *worker) step() {
	do := rand.N(16)
	if len(w.mine) == 0 || do < 2 {
		w.create(w.owner)
		return
	}
	k := w.mine[rand.N(len(w.mine))]
	switch {
	case do == 2:
		w.create(capped)
	case do < 6:
		w.rotate(k)
	case do < 8:
		w.update(k)
	case do == 8:
		w.revoke(k)
	case do == 9 && k.revoked:
		w.remove(k)
	case do < 14:
		w.verify(k)
	default:
		w.verifyEnded(k)
	}
}

func (w *worker) keyring(owner string) *apikey.Keyring {
	return w.m.Keyring(owner, apikey.Operator("test"))
}

// told counts an outcome, and reports whether it was acknowledged and whether
// it is unknown. With neither nothing was changed.
func (l *load) told(what, id string, err error) (acked, unknown bool) {
	var outcome *apikey.OutcomeUnknownError
	var down *apikey.UnavailableError
	switch {
	case err == nil:
		l.acks.Add(1)
		return true, false
	case errors.As(err, &outcome):
		l.unknown.Add(1)
		if id != "" && outcome.KeyID != id {
			l.t.Errorf("%s: the error names the key %q, want %q", what, outcome.KeyID, id)
		}
		return false, true
	case errors.As(err, &down):
		l.unavailable.Add(1)
	case errors.Is(err, apikey.ErrKeyQuota), errors.Is(err, apikey.ErrRevoked), errors.Is(err, apikey.ErrNotFound), errors.Is(err, apikey.ErrLive):
	default:
		l.t.Errorf("%s: %v", what, err)
	}
	return false, false
}

func (w *worker) create(owner string) {
	issued, err := w.keyring(owner).Create(context.Background(), apikey.KeyParams{Name: "key"})
	acked, unknown := w.told("Create", "", err)
	w.mu.Lock()
	defer w.mu.Unlock()
	if unknown {
		var outcome *apikey.OutcomeUnknownError
		errors.As(err, &outcome)
		w.maybe[outcome.KeyID] = true
	}
	if acked {
		k := &tracked{id: issued.Key.ID, owner: owner, token: issued.Token.Reveal(), acked: 1}
		w.keys = append(w.keys, k)
		w.mine = append(w.mine, k)
	}
}

// changed notes the outcome of a write of k.
func (w *worker) changed(k *tracked, what string, after *apikey.Key, err error) (acked, unknown bool) {
	acked, unknown = w.told(what, k.id, err)
	switch {
	case acked:
		if after.Version < k.acked || after.Version > k.acked+k.slack+1 {
			w.t.Errorf("%s of %s: version %d, and %d was acknowledged before, with %d unknown since", what, k.id, after.Version, k.acked, k.slack)
		}
		k.acked, k.slack = after.Version, 0
	case unknown:
		k.slack++
	case errors.Is(err, apikey.ErrNotFound) && !k.deleted && !k.vanishing:
		w.t.Errorf("%s: key %s is gone", what, k.id)
	case errors.Is(err, apikey.ErrRevoked) && !k.revoked && !k.dying:
		w.t.Errorf("%s: key %s is revoked, by nobody", what, k.id)
	}
	return acked, unknown
}

func (w *worker) rotate(k *tracked) {
	issued, err := w.keyring(k.owner).Rotate(context.Background(), k.id, apikey.RotateParams{})
	var after *apikey.Key
	if err == nil {
		after = issued.Key
	}
	acked, unknown := w.changed(k, "Rotate", after, err)
	if acked && k.revoked {
		w.t.Errorf("Rotate of %s, which is revoked, succeeded", k.id)
	}
	if acked {
		k.ended = append(k.ended, k.token)
		k.token, k.unsure = issued.Token.Reveal(), false
	}
	k.unsure = k.unsure || unknown
}

func (w *worker) update(k *tracked) {
	name := fmt.Sprint("name ", rand.Uint32())
	after, err := w.keyring(k.owner).Update(context.Background(), k.id, apikey.KeyUpdate{Name: &name})
	w.changed(k, "Update", after, err)
}

func (w *worker) revoke(k *tracked) {
	after, err := w.keyring(k.owner).Revoke(context.Background(), k.id)
	acked, unknown := w.changed(k, "Revoke", after, err)
	k.revoked = k.revoked || acked
	k.dying = k.dying || unknown
}

func (w *worker) remove(k *tracked) {
	acked, unknown := w.told("Delete", k.id, w.keyring(k.owner).Delete(context.Background(), k.id))
	k.deleted = k.deleted || acked
	k.vanishing = k.vanishing || unknown
	if acked {
		k.slack = 0
	}
}

func (w *worker) verify(k *tracked) {
	_, _, err := w.m.Verify(context.Background(), apikey.Request{Token: k.token})
	var denial *apikey.Denial
	var down *apikey.UnavailableError
	switch {
	case err == nil && (k.revoked || k.deleted):
		w.t.Errorf("key %s is accepted, and its revocation was acknowledged", k.id)
	case err == nil:
		k.used++
	case errors.As(err, &denial):
		if denial.KeyID == k.id && denial.Reason != apikey.ReasonInvalid {
			k.refused++
		}
		if !k.revoked && !k.dying && !k.unsure && !k.deleted && !k.vanishing {
			w.t.Errorf("key %s is refused: %v", k.id, err)
		}
	case !errors.As(err, &down):
		w.t.Errorf("Verify: %v", err)
	}
}

// verifyEnded tries a token that was rotated away.
func (w *worker) verifyEnded(k *tracked) {
	if len(k.ended) == 0 {
		return
	}
	_, _, err := w.m.Verify(context.Background(), apikey.Request{Token: k.ended[rand.N(len(k.ended))]})
	var denial *apikey.Denial
	if err == nil {
		w.t.Errorf("a token of %s is accepted, and it was acknowledged that it was rotated away", k.id)
	}
	if errors.As(err, &denial) && denial.KeyID == k.id && denial.Reason != apikey.ReasonInvalid {
		k.refused++
	}
}

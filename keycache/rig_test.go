package keycache

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/memstore"
)

// barrier is a Store whose every Get stops twice, before and after it reads,
// until the test lets it go on. Without hold it is the Store that it wraps.
type barrier struct {
	apikey.Store
	hold bool

	mu   sync.Mutex
	gets []*step
}

// step is one Get: close read to let it read, and answer to let it answer.
type step struct {
	ref          string
	read, answer chan struct{}
}

func (b *barrier) Get(ctx context.Context, ref string) (*apikey.Record, error) {
	b.mu.Lock()
	st := &step{ref, make(chan struct{}), make(chan struct{})}
	b.gets = append(b.gets, st)
	hold := b.hold
	b.mu.Unlock()
	if !hold {
		return b.Store.Get(ctx, ref)
	}
	select {
	case <-st.read:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	rec, err := b.Store.Get(ctx, ref)
	select {
	case <-st.answer:
		return rec, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// count is how many Gets there were.
func (b *barrier) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.gets)
}

func (b *barrier) step(i int) *step {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.gets[i]
}

// rig is a cache in a bubble of synctest, on a clock whose two faces can be set.
type rig struct {
	*testing.T
	*Store
	store      *barrier
	mono, wall time.Duration // beside the clock of the bubble
	versions   map[string]int64
}

func inBubble(t *testing.T, cfg *Config, f func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{T: t, store: &barrier{Store: memstore.New()}, versions: map[string]int64{}}
		r.Store = newCache(t, r.store, cfg)
		r.tick(r.Store)
		f(r)
	})
}

// tick puts the rig's clock into a cache.
func (r *rig) tick(s *Store) {
	system := s.now
	s.now = func() moment {
		m := system()
		return moment{m.mono + int64(r.mono), m.wall + int64(r.wall)}
	}
}

const (
	keyID    = "Key000000001"
	keyAlias = "~legacy:1"
)

// record is a key's at a version.
func record(id, alias string, version int64, revoked bool) *apikey.Record {
	at := time.Date(2021, 3, 4, 5, 0, 0, 0, time.UTC)
	k := &apikey.Key{ID: id, Alias: alias, Owner: "acct", Name: "x", CreatedAt: at, Version: version, Secrets: []apikey.Secret{{N: 1, Prefix: "sk_", CreatedAt: at}}}
	if revoked {
		k.RevokedAt = at
	}
	rec, err := apikey.NewRecord(k, apikey.SumToken(id))
	if err != nil {
		panic(err)
	}
	return rec
}

var noCap = apikey.Write{MaxKeys: -1}

// create makes the key with its alias behind the cache's back.
func (r *rig) create() {
	r.Helper()
	if err := r.store.Create(r.Context(), record(keyID, keyAlias, 1, false), noCap); err != nil {
		r.Fatal(err)
	}
	r.versions[keyID] = 1
}

// revoke revokes it through s: the cache, what its Unwrap gives, or a store
// behind its back.
func (r *rig) revoke(s apikey.Store) {
	r.Helper()
	r.versions[keyID]++
	if err := s.Update(r.Context(), record(keyID, keyAlias, r.versions[keyID], true), noCap); err != nil {
		r.Fatal(err)
	}
}

// answer is what a Get that runs came to.
type answer struct {
	rec  *apikey.Record
	err  error
	done chan struct{}
}

// get starts a Get and lets it go as far as it can.
func (r *rig) get(ctx context.Context, ref string) *answer {
	a := &answer{done: make(chan struct{})}
	go func() {
		defer close(a.done)
		a.rec, a.err = r.Get(ctx, ref)
	}()
	synctest.Wait()
	return a
}

// is says what the Get came to so far.
func (a *answer) String() string {
	select {
	case <-a.done:
	default:
		return "waits"
	}
	switch {
	case errors.Is(a.err, apikey.ErrNotFound):
		return "not found"
	case errors.Is(a.err, ErrBusy):
		return "busy"
	case a.err != nil:
		return "failed"
	case !a.rec.Key().RevokedAt.IsZero():
		return "revoked"
	}
	return "live"
}

func (r *rig) want(a *answer, want string) {
	r.Helper()
	synctest.Wait()
	if a.String() != want {
		r.Errorf("Get: %v (%v), want %s", a, a.err, want)
	}
}

func (r *rig) wantQueries(n int) {
	r.Helper()
	if got := r.store.count(); got != n {
		r.Errorf("the store was asked %d times, want %d", got, n)
	}
}

// finish lets the i-th query read and answer.
func (r *rig) finish(i int) {
	r.Helper()
	if r.store.count() <= i {
		r.Fatalf("there is no query %d", i)
	}
	st := r.store.step(i)
	for _, c := range []chan struct{}{st.read, st.answer} {
		select {
		case <-c: // was closed
		default:
			close(c)
		}
	}
	synctest.Wait()
}

func ids(from, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("Key%09d", from+i)
	}
	return list
}

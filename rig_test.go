package apikey_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/internal/secretwatch"
	"github.com/go-apikey/apikey/memstore"
)

// rigStart is when the clock of a rig starts.
var rigStart = time.Date(2026, 2, 3, 4, 5, 6, 7000, time.UTC)

// rig is a Manager with a clock that a test sets and a Store that it can make fail.
type rig struct {
	*apikey.Manager
	t     *testing.T
	store *faultyStore
	clock atomic.Int64 // µs since 1970

	mu     sync.Mutex
	events []apikey.Event
}

func rigFormats() []apikey.Format {
	return []apikey.Format{
		{Prefix: "rg_live_", Environment: "live"},
		{Prefix: "new_live_", Environment: "live"},
		{Prefix: "rk_live_", Environment: "live", IDLen: 7, SecretLen: 19},
		{Prefix: "old_live_", Environment: "live", NoIssue: true},
		{Prefix: "rg_test_", Environment: "test"},
	}
}

// newRig makes a Manager on an empty memstore. configure, which may be nil, changes its Config.
func newRig(t *testing.T, configure func(*apikey.Config)) *rig {
	t.Helper()
	return newRigOn(t, &faultyStore{Store: memstore.New()}, configure)
}

func newRigOn(t *testing.T, store *faultyStore, configure func(*apikey.Config)) *rig {
	t.Helper()
	r := &rig{t: t, store: store}
	r.clock.Store(rigStart.UnixMicro())
	cfg := &apikey.Config{Formats: rigFormats(), Now: r.now, OnEvent: r.onEvent}
	if configure != nil {
		configure(cfg)
	}
	if cfg.OnEvent != nil { // a test may want none
		cfg = watched(t, cfg)
	}
	m, err := apikey.New(r.store, cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.Manager = m
	t.Cleanup(func() {
		store.fail(nil)
		if err := m.Close(context.Background()); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return r
}

func (r *rig) now() time.Time { return time.UnixMicro(r.clock.Load()).UTC() }

func (r *rig) advance(d time.Duration) { r.clock.Add(d.Microseconds()) }

func (r *rig) onEvent(_ context.Context, e apikey.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

// eventsOf returns the events of a kind so far.
func (r *rig) eventsOf(kind apikey.EventKind) []apikey.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []apikey.Event
	for _, e := range r.events {
		if e.Kind == kind {
			found = append(found, e)
		}
	}
	return found
}

// The owner and the actors of these tests, from the weakest to the strongest.
const rigOwner = "acct_42"

var (
	nobody   = apikey.Actor{}
	junior   = apikey.Actor{ID: "junior", Ceiling: apikey.Permissions{"calls:read"}}
	member   = apikey.Actor{ID: "member", Ceiling: apikey.Permissions{"calls:*", "users:read"}}
	operator = apikey.Operator("ops")
)

func (r *rig) as(by apikey.Actor) *apikey.Keyring { return r.Keyring(rigOwner, by) }

// issue creates a key of the owner.
func (r *rig) issue(p apikey.KeyParams) *apikey.Issued {
	r.t.Helper()
	if p.Name == "" {
		p.Name = "key"
	}
	issued, err := r.as(operator).Create(r.t.Context(), p)
	if err != nil {
		r.t.Fatalf("Create: %v", err)
	}
	return issued
}

// get is the key as it is stored.
func (r *rig) get(id string) *apikey.Key {
	r.t.Helper()
	rec, err := r.store.Store.Get(r.t.Context(), id)
	if err != nil {
		r.t.Fatalf("Get(%s): %v", id, err)
	}
	return rec.Key()
}

// listed is the key as the Store lists it, with its usage.
func (r *rig) listed(id string) *apikey.Key {
	r.t.Helper()
	page, err := r.store.List(r.t.Context(), apikey.Query{AllOwners: true, IDs: []string{id}, Limit: 1})
	if err != nil || len(page.Keys) != 1 {
		r.t.Fatalf("List(%s) = %d keys, %v", id, len(page.Keys), err)
	}
	return page.Keys[0]
}

// verdict is what Verify says to a token: "ok", the reason of a denial, "unavailable" and what is, or another error.
func (r *rig) verdict(token string) string { return verdictOf(r.t.Context(), r.Manager, token) }

func verdictOf(ctx context.Context, m *apikey.Manager, token string) string {
	_, _, err := m.Verify(ctx, apikey.Request{Token: token})
	_ = secretwatch.Error("Verify", err)
	var denial *apikey.Denial
	var unavailable *apikey.UnavailableError
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &denial):
		return string(denial.Reason)
	case errors.As(err, &unavailable):
		return "unavailable " + unavailable.Op
	}
	return err.Error()
}

// snapshot is all that a Store holds but digests.
type snapshot struct {
	Keys    []*apikey.Key
	Changes []apikey.Change
}

func (r *rig) snapshot() snapshot {
	r.t.Helper()
	var s snapshot
	for q := (apikey.Query{AllOwners: true, Limit: 1000}); ; {
		page, err := r.store.Store.List(r.t.Context(), q)
		if err != nil {
			r.t.Fatal(err)
		}
		s.Keys = append(s.Keys, page.Keys...)
		if q.After = page.Next; q.After == "" {
			break
		}
	}
	s.Changes = r.history("")
	return s
}

// history is what was done to a key, or with "" to all of them, oldest first.
func (r *rig) history(id string) []apikey.Change {
	r.t.Helper()
	var changes []apikey.Change
	for q := (apikey.HistoryQuery{AllOwners: true, KeyID: id, Limit: 1000}); ; {
		page, err := r.store.Store.History(r.t.Context(), q)
		if err != nil {
			r.t.Fatal(err)
		}
		for _, c := range page.Changes {
			changes = append([]apikey.Change{c}, changes...)
		}
		if q.After = page.Next; q.After == "" {
			return changes
		}
	}
}

// unchanged fails if the Store does not hold what it held before.
func (r *rig) unchanged(before snapshot, what string) {
	r.t.Helper()
	if d := rigDiff(before, r.snapshot()); d != "" {
		r.t.Errorf("%s: the store changed (-before +after):\n%s", what, d)
	}
}

// rigDiff compares structures; nil equals empty.
func rigDiff(want, got any, options ...cmp.Option) string {
	return cmp.Diff(want, got, append(options, cmpopts.EquateEmpty(), cmpopts.EquateErrors(), cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}))...)
}

// storeCall is one call of a Store.
type storeCall struct {
	op    string // create, get, update, list, delete, add-usage, usage, history
	rec   *apikey.Record
	batch apikey.UsageBatch
}

func (c storeCall) writes() bool { return c.op == "create" || c.op == "update" || c.op == "delete" }

// A fault stands between a Manager and its Store: it calls apply, or not, and answers as it likes.
type fault func(ctx context.Context, c storeCall, apply func() error) error

// faultyStore is a memstore with a fault and a counter of calls.
type faultyStore struct {
	*memstore.Store
	calls   atomic.Int64
	current atomic.Pointer[fault]
}

// fail puts f before the Store; nil takes it away.
func (s *faultyStore) fail(f fault) {
	if f == nil {
		s.current.Store(nil)
		return
	}
	s.current.Store(&f)
}

func (s *faultyStore) do(ctx context.Context, c storeCall, apply func() error) error {
	s.calls.Add(1)
	if c.rec != nil {
		secretwatch.Record(c.rec.Bytes())
	}
	if f := s.current.Load(); f != nil {
		return (*f)(ctx, c, apply)
	}
	return apply()
}

func (s *faultyStore) Create(ctx context.Context, rec *apikey.Record, w apikey.Write) error {
	return s.do(ctx, storeCall{op: "create", rec: rec}, func() error { return s.Store.Create(ctx, rec, w) })
}

func (s *faultyStore) Get(ctx context.Context, ref string) (rec *apikey.Record, err error) {
	err = s.do(ctx, storeCall{op: "get"}, func() error {
		rec, err = s.Store.Get(ctx, ref)
		return err
	})
	return rec, err
}

func (s *faultyStore) Update(ctx context.Context, rec *apikey.Record, w apikey.Write) error {
	return s.do(ctx, storeCall{op: "update", rec: rec}, func() error { return s.Store.Update(ctx, rec, w) })
}

func (s *faultyStore) List(ctx context.Context, q apikey.Query) (page apikey.Page, err error) {
	err = s.do(ctx, storeCall{op: "list"}, func() error {
		page, err = s.Store.List(ctx, q)
		return err
	})
	return page, err
}

func (s *faultyStore) AddUsage(ctx context.Context, b apikey.UsageBatch) error {
	return s.do(ctx, storeCall{op: "add-usage", batch: b}, func() error { return s.Store.AddUsage(ctx, b) })
}

func (s *faultyStore) Delete(ctx context.Context, id string, w apikey.Write) error {
	return s.do(ctx, storeCall{op: "delete"}, func() error { return s.Store.Delete(ctx, id, w) })
}

func (s *faultyStore) Usage(ctx context.Context, id string, q apikey.UsageQuery) (points []apikey.UsagePoint, err error) {
	err = s.do(ctx, storeCall{op: "usage"}, func() error {
		points, err = s.Store.Usage(ctx, id, q)
		return err
	})
	return points, err
}

func (s *faultyStore) History(ctx context.Context, q apikey.HistoryQuery) (page apikey.HistoryPage, err error) {
	err = s.do(ctx, storeCall{op: "history"}, func() error {
		page, err = s.Store.History(ctx, q)
		return err
	})
	return page, err
}

// errDisk is a failure of the infrastructure.
var errDisk = errors.New("the disk is gone")

// wantError fails if err is not target.
func wantError(t *testing.T, what string, err, target error) {
	t.Helper()
	if !errors.Is(secretwatch.Error(t.Name(), err), target) {
		t.Errorf("%s: error %v, want %v", what, errText(err), errText(target))
	}
}

func errText(err error) string {
	if err == nil {
		return "none"
	}
	return fmt.Sprintf("%q", err)
}

// atOnce calls f n times at once and returns the errors.
func atOnce(n int, f func(i int) error) []error {
	errs := make([]error, n)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-start
			errs[i] = secretwatch.Error("at once", f(i))
		})
	}
	close(start)
	wg.Wait()
	return errs
}

// longer is n, or with APIKEY_LONG=1 the full size.
func longer(n, full int) int {
	if os.Getenv("APIKEY_LONG") != "" {
		return full
	}
	return n
}

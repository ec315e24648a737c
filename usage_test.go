package apikey_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/go-apikey/apikey"
)

func TestUsageOfEachSecret(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	peer := netip.MustParseAddr("192.0.2.1")
	ts := tokens{r.issue(apikey.KeyParams{Limits: []apikey.LimitOverride{{Limit: apikey.Limit{Name: "l", N: 10, Per: 24 * time.Hour}}}})}
	id := ts[0].Key.ID
	use := func(n, token int, want string) {
		t.Helper()
		for range n {
			r.advance(time.Second)
			_, _, err := r.Verify(t.Context(), apikey.Request{Token: ts[token].Token.Reveal(), Peer: peer})
			got := "ok"
			if denial, ok := errors.AsType[*apikey.Denial](err); ok {
				got = string(denial.Reason)
			}
			if got != want {
				t.Fatalf("token %d: %s, want %s", token, got, want)
			}
		}
	}
	use(3, 0, "ok")
	r.rotate(&ts, apikey.RotateParams{Grace: time.Hour})
	use(2, 0, "ok")
	old := r.now()
	use(5, 1, "ok")
	last := r.now()
	use(4, 1, "rate_limited")
	if _, err := r.as(operator).EndRotation(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	use(2, 0, "rotated")
	if _, err := r.as(operator).Disable(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	use(3, 1, "disabled")
	refused := r.now()
	// What is not proven is not counted.
	forged := ts[0].Token.Reveal()
	r.verdict(forged[:len(forged)-1])
	r.verdict(outsideToken(t, "rg_live_"))

	if got := r.listed(id).Usage; rigDiff(apikey.Usage{}, got) != "" {
		t.Errorf("before a flush: %+v", got)
	}
	want := apikey.Usage{
		Requests: 10, Limited: 4, Denied: 5, LastUsedAt: last, LastUsed: map[uint32]time.Time{1: old, 2: last},
		LastRefusal: apikey.Refusal{At: refused, Peer: peer, Reason: apikey.ReasonDisabled},
	}
	for range 2 { // the second flush has nothing to add
		if err := r.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		key, err := r.as(nobody).Get(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if d := rigDiff(want, key.Usage); d != "" {
			t.Errorf("usage (-want +got):\n%s", d)
		}
	}
	if version := r.get(id).Version; version != 4 {
		t.Errorf("counting changed the key: version %d", version)
	}
}

func TestUsageByTheHour(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(cfg *apikey.Config) { cfg.Now, cfg.FlushInterval = nil, 24*time.Hour })
		midnight := time.Now().UTC() // a bubble begins at midnight
		issued := r.issue(apikey.KeyParams{Limits: []apikey.LimitOverride{{Limit: apikey.Limit{Name: "l", N: 5, Per: 30 * time.Minute}}}})
		at := func(after time.Duration, n int) {
			<-time.After(time.Until(midnight.Add(after)))
			for range n {
				r.verdict(issued.Token.Reveal())
			}
		}
		at(59*time.Minute+59*time.Second+999*time.Millisecond+999*time.Microsecond, 2)
		at(time.Hour, 3)
		at(2*time.Hour-1, 7) // two of them are limited
		at(2*time.Hour, 1)   // so is this
		at(5*time.Hour, 4)
		if err := r.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		hour := func(n int) time.Time { return midnight.Add(time.Duration(n) * time.Hour) }
		all := []apikey.UsagePoint{
			{Hour: hour(0), Requests: 2},
			{Hour: hour(1), Requests: 8, Limited: 2},
			{Hour: hour(2), Limited: 1},
			{Hour: hour(5), Requests: 4},
		}
		for _, tt := range []struct {
			q    apikey.UsageQuery
			want []apikey.UsagePoint
		}{
			{apikey.UsageQuery{}, all},
			{apikey.UsageQuery{From: hour(1)}, all[1:]},
			{apikey.UsageQuery{To: hour(1)}, all[:1]},
			{apikey.UsageQuery{From: hour(1), To: hour(5)}, all[1:3]},
			{apikey.UsageQuery{From: hour(6)}, nil},
		} {
			got, err := r.as(nobody).Usage(t.Context(), issued.Key.ID, tt.q)
			if err != nil {
				t.Fatal(err)
			}
			if d := rigDiff(tt.want, got); d != "" {
				t.Errorf("Usage(%v) (-want +got):\n%s", tt.q, d)
			}
		}
	})
}

// Requests never wait for the store to take their counts.
func TestUsageIsOffTheRequestsWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(cfg *apikey.Config) { cfg.Now, cfg.FlushInterval = nil, time.Minute })
		issued := r.issue(apikey.KeyParams{})
		release := make(chan struct{})
		r.store.fail(func(_ context.Context, c storeCall, apply func() error) error {
			if c.op == "add-usage" {
				<-release // whatever its context says
			}
			return apply()
		})
		verify := func(n int) {
			start := time.Now()
			for range n {
				if got := r.verdict(issued.Token.Reveal()); got != "ok" {
					t.Error(got)
				}
			}
			if d := time.Since(start); d != 0 {
				t.Errorf("%d requests took %v", n, d)
			}
		}
		verify(10)
		<-time.After(time.Minute) // the store has them, and does not answer
		synctest.Wait()
		verify(20)
		if got := r.listed(issued.Key.ID).Usage.Requests; got != 0 {
			t.Errorf("%d requests were stored by a store that hangs", got)
		}
		close(release)
		<-time.After(time.Minute)
		synctest.Wait()
		if got := r.listed(issued.Key.ID).Usage.Requests; got != 30 {
			t.Errorf("%d requests after the next interval, want 30", got)
		}
	})
}

// batchWatch holds batches to their contract, and fails as it is told to.
type batchWatch struct {
	t    *testing.T
	rig  *rig
	mode func() string // "": pass

	mu      sync.Mutex
	last    apikey.UsageBatch
	failed  bool // last was not acknowledged
	repeats int
}

func (w *batchWatch) fault(ctx context.Context, c storeCall, apply func() error) error {
	if c.op != "add-usage" {
		return apply()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.check(c.batch)
	w.last, w.failed = c.batch, true
	w.last.Entries = slices.Clone(c.batch.Entries)
	defer clear(c.batch.Entries) // it is the store's to do as it likes with it
	switch w.mode() {
	case "before":
		return errDisk
	case "after":
		if err := apply(); err != nil {
			return err
		}
		return errDisk
	case "in the middle":
		if err := w.rig.store.Store.AddUsage(ctx, firstHalf(w.last)); err != nil {
			return err
		}
		return errDisk
	case "panic":
		panic("out of memory")
	}
	err := apply()
	w.failed = err != nil
	return err
}

// check is what the contract says of batches.
func (w *batchWatch) check(b apikey.UsageBatch) {
	if w.failed {
		w.repeats++
		if d := cmp.Diff(w.last, b, cmp.Comparer(func(x, y netip.Addr) bool { return x == y })); d != "" {
			w.t.Errorf("a batch that failed is repeated with changes:\n%s", d)
		}
		return
	}
	if b.Seq != w.last.Seq+1 || w.last.Node != "" && b.Node != w.last.Node || len(b.Node) != 22 {
		w.t.Errorf("batch %d of %q follows batch %d of %q", b.Seq, b.Node, w.last.Seq, w.last.Node)
	}
	if n := len(b.Entries); n < 1 || n > 500 {
		w.t.Errorf("a batch of %d entries", n)
	}
	if !slices.IsSortedFunc(b.Entries, func(x, y apikey.UsageEntry) int {
		if c := strings.Compare(x.KeyID, y.KeyID); c != 0 {
			return c
		}
		if c := int(x.Secret) - int(y.Secret); c != 0 {
			return c
		}
		if x.Hour.Equal(y.Hour) {
			return 1 // a triple twice
		}
		return x.Hour.Compare(y.Hour)
	}) {
		w.t.Error("the entries of a batch are not sorted, or one is there twice")
	}
	for _, e := range b.Entries {
		if !e.Hour.Equal(e.Hour.Truncate(time.Hour)) || e.Requests < 0 || e.Requests+e.Limited+e.Denied == 0 {
			w.t.Errorf("entry %+v", e)
		}
	}
}

// firstHalf is b up to its middle, with all entries of a key or none.
func firstHalf(b apikey.UsageBatch) apikey.UsageBatch {
	n := len(b.Entries) / 2
	for n > 0 && b.Entries[n-1].KeyID == b.Entries[n].KeyID {
		n--
	}
	b.Entries = slices.Clone(b.Entries[:n])
	return b
}

// Totals are exact whatever the store does, while the same keys are changed, rotated and deleted.
func TestUsageTotalsLong(t *testing.T) {
	t.Parallel()
	faults := []string{"before", "after", "in the middle", "panic"}
	for _, fault := range append(faults, "in any way") {
		t.Run("the store fails "+fault, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(cfg *apikey.Config) { cfg.FlushInterval = time.Millisecond })
			calls := 0
			w := &batchWatch{t: t, rig: r, mode: func() string { // the first call fails, and then every other one
				calls++
				switch {
				case calls%2 == 0:
					return ""
				case fault == "in any way":
					return faults[calls/2%len(faults)]
				}
				return fault
			}}
			countExactly(t, r, w, longer(1500, 100_000))
			if w.repeats == 0 {
				t.Error("no batch was repeated: the test tests nothing")
			}
		})
	}
}

// countedKey is a key and how often its tokens were let in and refused.
type countedKey struct {
	id              string
	mu              sync.Mutex
	tokens          []string
	admitted, other atomic.Int64
}

// countExactly sends requests of 600 keys from 8 goroutines, each so many, and compares the totals.
func countExactly(t *testing.T, r *rig, w *batchWatch, requests int) {
	t.Helper()
	keys := make([]*countedKey, 600)
	for i := range keys {
		issued := r.issue(apikey.KeyParams{})
		keys[i] = &countedKey{id: issued.Key.ID, tokens: []string{issued.Token.Reveal()}}
	}
	deleted := keys[:50]
	r.store.fail(w.fault)
	var changing, requesting sync.WaitGroup
	for range 8 {
		requesting.Go(func() {
			for range requests {
				k := keys[rand.N(len(keys))]
				k.mu.Lock()
				token := k.tokens[rand.N(len(k.tokens))]
				k.mu.Unlock()
				switch got := r.verdict(token); got {
				case "ok":
					k.admitted.Add(1)
				case "rotated", "revoked", "disabled":
					k.other.Add(1)
				case "invalid": // deleted, or two rotations old: not proven, not counted
				default:
					t.Error(got)
				}
			}
		})
	}
	changing.Go(func() {
		for i := range requests / 3 {
			changeSomething(t, r, keys[50+rand.N(len(keys)-50)])
			r.advance(time.Duration(rand.N(5)) * time.Minute)
			if i < len(deleted) {
				wantError(t, "Revoke", call1(r.as(operator).Revoke(t.Context(), deleted[i].id)), nil)
				wantError(t, "Delete", r.as(operator).Delete(t.Context(), deleted[i].id), nil)
			}
		}
	})
	requesting.Wait()
	changing.Wait()
	if err := r.Flush(t.Context()); err != nil {
		t.Logf("the last but one flush: %v", err) // if it is the first it fails, else it may
	}
	w.mu.Lock()
	w.mode = func() string { return "" }
	w.mu.Unlock()
	if err := r.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, k := range keys[50:] {
		got := r.listed(k.id).Usage
		if got.Requests != k.admitted.Load() || got.Denied != k.other.Load() || got.Limited != 0 {
			t.Errorf("key %s: %d requests and %d denied were stored, there were %d and %d", k.id, got.Requests, got.Denied, k.admitted.Load(), k.other.Load())
		}
		points, err := r.store.Store.Usage(t.Context(), k.id, apikey.UsageQuery{})
		if err != nil {
			t.Fatal(err)
		}
		sum := int64(0)
		for _, p := range points {
			sum += p.Requests
		}
		if sum != got.Requests {
			t.Errorf("key %s: %d requests in all hours, %d in all", k.id, sum, got.Requests)
		}
	}
}

func changeSomething(t *testing.T, r *rig, k *countedKey) {
	t.Helper()
	var err error
	switch rand.N(4) {
	case 0:
		var issued *apikey.Issued
		if issued, err = r.as(operator).Rotate(t.Context(), k.id, apikey.RotateParams{Grace: time.Duration(rand.N(2)) * time.Hour, EndOldest: true}); err == nil {
			k.mu.Lock()
			k.tokens = append(k.tokens, issued.Token.Reveal())
			k.mu.Unlock()
		}
	case 1:
		_, err = r.as(operator).Update(t.Context(), k.id, apikey.KeyUpdate{Name: new(fmt.Sprint("n", rand.N(100)))})
	case 2:
		_, err = r.as(operator).Disable(t.Context(), k.id)
	default:
		_, err = r.as(operator).Enable(t.Context(), k.id)
	}
	wantError(t, "a change", err, nil)
}

// closeRace has 64 goroutines send requests until the Manager is closed, and returns how many were let in and denied.
func closeRace(t *testing.T, r *rig, closed func() error) (admitted, denied int64, err error) {
	t.Helper()
	good := r.issue(apikey.KeyParams{}).Token.Reveal()
	off := r.issue(apikey.KeyParams{})
	if _, err := r.as(operator).Disable(t.Context(), off.Key.ID); err != nil {
		t.Fatal(err)
	}
	var in, out atomic.Int64
	var requesting sync.WaitGroup
	var started sync.WaitGroup
	started.Add(64)
	for i := range 64 {
		token, want, count := good, "ok", &in
		if i%4 == 0 {
			token, want, count = off.Token.Reveal(), "disabled", &out
		}
		requesting.Go(func() {
			for n := 0; ; n++ {
				runtime.Gosched() // or each would have its 10 ms before Close is called
				switch got := r.verdict(token); got {
				case want:
					count.Add(1)
				case apikey.ErrClosed.Error():
					if n < 10 {
						started.Done()
					}
					return
				default:
					t.Error(got)
					return
				}
				if n == 9 {
					started.Done()
				}
			}
		})
	}
	started.Wait()
	err = closed()
	requesting.Wait()
	return in.Load(), out.Load(), err
}

func TestCloseFlushesExactlyLong(t *testing.T) {
	t.Parallel()
	for range longer(10, 500) {
		r := newRig(t, func(cfg *apikey.Config) { cfg.FlushInterval, cfg.OnEvent = time.Millisecond, nil })
		admitted, denied, err := closeRace(t, r, func() error { return r.Close(t.Context()) })
		if err != nil {
			t.Fatal(err)
		}
		var stored apikey.Usage
		for _, k := range r.snapshot().Keys {
			stored.Requests += k.Usage.Requests
			stored.Denied += k.Usage.Denied
		}
		if stored.Requests != admitted || stored.Denied != denied {
			t.Errorf("%d requests and %d denied were stored, there were %d and %d", stored.Requests, stored.Denied, admitted, denied)
		}
	}
}

func TestCloseSaysExactlyWhatItLostLong(t *testing.T) {
	t.Parallel()
	for range longer(10, 500) {
		r := newRig(t, func(cfg *apikey.Config) { cfg.FlushInterval, cfg.OnEvent = time.Millisecond, nil })
		r.store.fail(func(_ context.Context, c storeCall, apply func() error) error {
			if c.op == "add-usage" {
				return errDisk
			}
			return apply()
		})
		admitted, denied, err := closeRace(t, r, func() error { return r.Close(t.Context()) })
		var lost *apikey.UsageLostError
		if !errors.As(err, &lost) {
			t.Fatalf("Close: %s, want a *UsageLostError", errText(err))
		}
		wantError(t, "Close", err, errDisk)
		if lost.Requests != admitted || lost.Denied != denied || lost.Limited != 0 {
			t.Errorf("%d requests and %d denied were said to be lost, there were %d and %d", lost.Requests, lost.Denied, admitted, denied)
		}
		// The store is back: another Close has it all.
		r.store.fail(nil)
		for range 2 {
			if err := r.Close(t.Context()); err != nil {
				t.Fatalf("another Close: %v", err)
			}
		}
		var stored int64
		for _, k := range r.snapshot().Keys {
			stored += k.Usage.Requests
		}
		if stored != admitted {
			t.Errorf("%d requests were stored by another Close, there were %d", stored, admitted)
		}
	}
}

// A request that began before Close, and is decided after it, is neither let in nor counted.
func TestRequestThatOutlastsClose(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"", "enable"} { // of a good key, and of a disabled one
		r := newRig(t, nil)
		id := r.keyFor(verb, nil)
		rotated, err := r.as(operator).Rotate(t.Context(), id, apikey.RotateParams{})
		if err != nil {
			t.Fatal(err)
		}
		r.store.fail(func(_ context.Context, c storeCall, apply func() error) error {
			if c.op == "get" {
				r.store.fail(nil)
				wantError(t, "Close", r.Close(t.Context()), nil)
			}
			return apply()
		})
		if got := r.verdict(rotated.Token.Reveal()); got != apikey.ErrClosed.Error() {
			t.Errorf("a request that outlasts Close: %s", got)
		}
		wantError(t, "another Close", r.Close(t.Context()), nil)
		if got := r.listed(id).Usage; got.Requests+got.Denied != 0 {
			t.Errorf("usage %+v", got)
		}
	}
}

// A store that does not even return does not keep Close from doing so, and it is said what was counted.
func TestCloseWithAStoreThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(cfg *apikey.Config) { cfg.Now, cfg.FlushInterval = nil, time.Minute })
		issued := r.issue(apikey.KeyParams{})
		release := make(chan struct{})
		r.store.fail(func(_ context.Context, c storeCall, apply func() error) error {
			if c.op == "add-usage" {
				<-release
			}
			return apply()
		})
		for range 3 {
			r.verdict(issued.Token.Reveal())
		}
		<-time.After(time.Minute)
		synctest.Wait()
		for range 4 {
			r.verdict(issued.Token.Reveal())
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		wantError(t, "Flush while another one hangs", r.Flush(ctx), context.DeadlineExceeded)
		err := r.Close(ctx)
		if d := time.Since(start); d != time.Second {
			t.Errorf("Flush and Close took %v, their context 1s", d)
		}
		var lost *apikey.UsageLostError
		if !errors.As(err, &lost) || lost.Requests != 7 {
			t.Errorf("Close: %s, want a *UsageLostError of 7 requests", errText(err))
		}
		wantError(t, "Close", err, context.DeadlineExceeded)
		if got := r.verdict(issued.Token.Reveal()); got != apikey.ErrClosed.Error() {
			t.Errorf("after Close: %s", got)
		}
		close(release)
		if err := r.Close(t.Context()); err != nil {
			t.Errorf("another Close: %v", err)
		}
		if got := r.listed(issued.Key.ID).Usage.Requests; got != 7 {
			t.Errorf("%d requests were stored at last, want 7", got)
		}
	})
}

// The end of a bubble finds every goroutine that is left.
func TestCloseEndsTheGoroutine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(cfg *apikey.Config) { cfg.Now = nil })
		issued := r.issue(apikey.KeyParams{})
		r.verdict(issued.Token.Reveal())
		<-time.After(time.Hour)
		for range 3 {
			if err := r.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
		calls := r.store.calls.Load()
		<-time.After(time.Hour)
		if n := r.store.calls.Load() - calls; n != 0 {
			t.Errorf("%d calls of the store after Close", n)
		}
	})
}

func TestFailedFlushIsAnEvent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(cfg *apikey.Config) { cfg.Now = nil })
		issued := r.issue(apikey.KeyParams{})
		r.store.fail(func(_ context.Context, c storeCall, apply func() error) error {
			if c.op == "add-usage" {
				return errDisk
			}
			return apply()
		})
		r.verdict(issued.Token.Reveal())
		<-time.After(12 * time.Second) // FlushInterval is 5 s
		synctest.Wait()
		events := r.eventsOf(apikey.EventFlushFailed)
		if len(events) != 2 {
			t.Fatalf("%d events in 12 s, want 2", len(events))
		}
		wantError(t, "the event", events[0].Err, errDisk)
		r.store.fail(nil)
		<-time.After(5 * time.Second)
		synctest.Wait()
		if got := r.listed(issued.Key.ID).Usage.Requests; got != 1 {
			t.Errorf("%d requests after the store came back, want 1", got)
		}
	})
}

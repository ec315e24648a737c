package keycache

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-apikey/apikey"
)

func TestConcurrentMissesAreOneQuery(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.create()
		r.store.hold = true
		var all []*answer
		for range 100 {
			all = append(all, r.get(r.Context(), keyID))
		}
		r.wantQueries(1)
		r.finish(0)
		for _, a := range all {
			r.want(a, "live")
		}
		r.want(r.get(r.Context(), keyID), "live")
		r.wantQueries(1)
	})
}

// Who is gone takes nobody along, were it the one who began the query, were
// there nobody left: what comes is there for the next.
func TestWaitersLeave(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.create()
		r.store.hold = true
		first, goFirst := context.WithCancel(r.Context())
		second, goSecond := context.WithTimeout(r.Context(), time.Millisecond)
		defer goSecond()
		leader, waiter, last := r.get(first, keyID), r.get(second, keyID), r.get(r.Context(), keyID)
		goFirst()
		synctest.Wait()
		if !errors.Is(leader.err, context.Canceled) {
			r.Errorf("the one who began: %v", leader.err)
		}
		wait(time.Millisecond)
		if !errors.Is(waiter.err, context.DeadlineExceeded) {
			r.Errorf("one who waited: %v", waiter.err)
		}
		r.want(last, "waits")
		r.finish(0)
		r.want(last, "live")
		r.wantQueries(1)
	})
	inBubble(t, nil, func(r *rig) {
		r.create()
		r.store.hold = true
		ctx, cancel := context.WithCancel(r.Context())
		r.get(ctx, keyID)
		cancel()
		r.finish(0)
		r.want(r.get(r.Context(), keyID), "live")
		r.wantQueries(1)
	})
}

// A query outlives the call that began it, and so may use nothing of its ctx.
func TestContextOfTheCallerIsNotUsed(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		type key struct{}
		asked := false
		r.store.Store = spy{r.store.Store, func(ctx context.Context) {
			asked = true
			if ctx.Value(key{}) != nil {
				r.Error("a value of the caller's came with the query")
			}
			if at, ok := ctx.Deadline(); !ok || time.Until(at) != time.Second {
				r.Errorf("the query's own deadline is %v, %v", at, ok)
			}
		}}
		_, _ = r.Get(context.WithValue(r.Context(), key{}, "x"), keyID)
		if !asked {
			r.Error("there was no query")
		}
	})
}

type spy struct {
	apikey.Store
	saw func(ctx context.Context)
}

func (s spy) Get(ctx context.Context, ref string) (*apikey.Record, error) {
	s.saw(ctx)
	return s.Store.Get(ctx, ref)
}

// After a key was forgotten nobody waits for a query that began before.
func TestNobodyJoinsAnOlderQuery(t *testing.T) {
	for what, forget := range map[string]func(r *rig){
		"by name": func(r *rig) { r.Forget(keyID) },
		"all":     func(r *rig) { r.forgetAll() },
	} {
		t.Run(what, func(t *testing.T) {
			inBubble(t, nil, func(r *rig) {
				r.create()
				r.store.hold = true
				older := r.get(r.Context(), keyID)
				forget(r)
				newer := r.get(r.Context(), keyID)
				r.wantQueries(2)
				r.finish(1)
				r.want(newer, "live")
				r.want(older, "waits")
				r.finish(0)
				r.want(older, "live")
				r.want(r.get(r.Context(), keyID), "live")
				r.wantQueries(2)
			})
		})
	}
}

func TestNotFoundIsNotCached(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		for range 3 {
			r.want(r.get(r.Context(), keyID), "not found")
		}
		r.wantQueries(3)
		r.create() // behind the cache's back
		r.want(r.get(r.Context(), keyID), "live")
	})
}

// A flood of made-up IDs waits for itself alone.
func TestFlood(t *testing.T) {
	const lookups = 4
	inBubble(t, &Config{UnknownLookups: lookups}, func(r *rig) {
		r.create()
		r.want(r.get(r.Context(), keyID), "live")
		r.want(r.get(r.Context(), "Key000000000"), "not found")
		r.store.hold = true
		before := r.store.count()

		flood := make([]*answer, 0, 500)
		for _, id := range ids(100, cap(flood)) {
			flood = append(flood, r.get(r.Context(), id))
		}
		r.wantQueries(before + lookups)
		for i, a := range flood {
			want := "waits"
			if i >= lookups+lookups*queued {
				want = "busy"
			}
			r.want(a, want)
		}

		// One that waits already is joined, however many there are.
		again := r.get(r.Context(), "Key000000100")
		r.want(again, "waits")
		queuedToo := r.get(r.Context(), "Key000000110")
		r.want(queuedToo, "waits")

		// A key that is known passes, be it old or forgotten, under either name.
		wait(900 * time.Millisecond)
		r.Forget(keyID)
		known := r.get(r.Context(), keyAlias)
		r.wantQueries(before + lookups + 1)
		r.finish(before + lookups)
		r.want(known, "live")
		r.forgetAll()
		known = r.get(r.Context(), keyID)
		r.wantQueries(before + lookups + 2)
		r.finish(before + lookups + 1)
		r.want(known, "live")

		// One answer, one more query.
		r.finish(before)
		r.want(flood[0], "not found")
		r.want(again, "not found")
		r.wantQueries(before + lookups + 3)

		// All get theirs in the end.
		r.settle()
		for _, a := range flood[:lookups+lookups*queued] {
			r.want(a, "not found")
		}
		r.want(queuedToo, "not found")
		if r.unknown != 0 || len(r.queue) != 0 || len(r.fills) != 0 || len(r.running) != 0 || r.drops.list != nil {
			r.Errorf("left behind: %d running, %d queued, %d to join, %d begun, %d drops", r.unknown, len(r.queue), len(r.fills), len(r.running), len(r.drops.list))
		}
	})
}

// A key that came to be known while it waited for its turn waits no more.
func TestKnownMeanwhile(t *testing.T) {
	inBubble(t, &Config{UnknownLookups: 1}, func(r *rig) {
		r.create()
		r.store.hold = true
		running := r.get(r.Context(), keyID)
		r.get(r.Context(), "Key000000000")
		queued := r.get(r.Context(), keyAlias)
		r.finish(0)
		r.want(running, "live")
		r.wantQueries(2)
		r.want(queued, "waits")
		r.Forget(keyID)
		now := r.get(r.Context(), keyAlias)
		r.wantQueries(3)
		r.finish(2)
		r.want(now, "live")
		r.settle()
		r.want(queued, "live")
	})
}

// Who leaves the queue makes room, and is not looked up for nobody.
func TestLeaveTheQueue(t *testing.T) {
	inBubble(t, &Config{UnknownLookups: 1}, func(r *rig) {
		r.store.hold = true
		r.get(r.Context(), "Key000000000")
		ctx, cancel := context.WithCancel(r.Context())
		for _, id := range ids(1, queued) {
			r.get(ctx, id)
		}
		stays := r.get(r.Context(), "Key000000001")
		r.want(r.get(r.Context(), "Key000000099"), "busy")
		cancel()
		synctest.Wait()
		next := r.get(r.Context(), "Key000000099")
		r.want(next, "waits")
		r.settle()
		r.want(stays, "not found")
		r.want(next, "not found")
		r.wantQueries(3)
	})
}

// A key that is deleted is no longer known: its ID is one of a flood's.
func TestDeletedKeyIsUnknown(t *testing.T) {
	inBubble(t, &Config{UnknownLookups: 1}, func(r *rig) {
		r.create()
		r.want(r.get(r.Context(), keyAlias), "live")
		if err := r.Delete(r.Context(), keyID, noCap); err != nil {
			r.Fatal(err)
		}
		r.want(r.get(r.Context(), keyID), "not found")
		r.want(r.get(r.Context(), keyAlias), "not found")
		r.store.hold = true
		r.get(r.Context(), "Key000000000")
		n := r.store.count()
		r.want(r.get(r.Context(), keyID), "waits")
		r.wantQueries(n)
		r.settle()
	})
}

// An entry that was pushed out under one of its names is gone under the other
// too: forgetting the key by the one would not find it.
func TestEvictionTakesBothNames(t *testing.T) {
	for _, names := range [][2]string{{keyID, keyAlias}, {keyAlias, keyID}} {
		inBubble(t, nil, func(r *rig) {
			r.create()
			r.want(r.get(r.Context(), keyAlias), "live")
			r.entries.Invalidate(names[0])
			r.revoke(r.store)
			r.Forget(names[0])
			r.want(r.get(r.Context(), names[1]), "revoked")
		})
	}
	inBubble(t, nil, func(r *rig) {
		r.create()
		r.want(r.get(r.Context(), keyID), "live")
		e, _ := r.entries.GetEntryQuietly(keyID)
		r.entries.SetMaximum(1)
		r.entries.CleanUp()
		if e.Value.rec.Load() != nil {
			r.Error("an entry that was pushed out for want of room has its record")
		}
	})
}

// Close lets nobody hang, and what comes after it goes to the store.
func TestClose(t *testing.T) {
	inBubble(t, &Config{UnknownLookups: 1}, func(r *rig) {
		r.create()
		r.want(r.get(r.Context(), keyID), "live")
		r.store.hold = true
		running, waits := r.get(r.Context(), "Key000000000"), r.get(r.Context(), "Key000000009")
		start := time.Now()
		if err := r.Close(r.Context()); err != nil || time.Since(start) != 0 {
			r.Error(err, time.Since(start))
		}
		for _, a := range []*answer{running, waits} {
			r.want(a, "failed")
			if errors.Is(a.err, context.Canceled) {
				r.Errorf("%v: that is the caller's own", a.err)
			}
		}
		r.store.hold = false
		n := r.store.count()
		r.want(r.get(r.Context(), keyID), "live")
		r.revoke(r.store)
		r.want(r.get(r.Context(), keyID), "revoked")
		r.wantQueries(n + 2)
		if err := r.Close(r.Context()); err != nil {
			r.Error(err)
		}
	})
}

// Close waits for the store no longer than it is told to.
func TestCloseWaits(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		release := make(chan struct{})
		r.store.Store = spy{r.store.Store, func(context.Context) { <-release }} // heeds no ctx
		r.get(r.Context(), keyID)
		ctx, cancel := context.WithTimeout(r.Context(), time.Second)
		defer cancel()
		if err := r.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			r.Error(err)
		}
		close(release)
	})
}

func TestConfig(t *testing.T) {
	var invalid *apikey.InvalidError
	_, err := New(nil, &Config{MaxStale: 1, InsecureStaleFor: -1, MaxBytes: 1, QueryTimeout: time.Hour, UnknownLookups: -1})
	if !errors.As(err, &invalid) || len(invalid.Fields) != 6 {
		t.Errorf("%v", err)
	}
}

package keycache

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/apikeytest"
)

// After a read, the clocks move. Whatever they do, a record older than the
// bound by either of them admits nobody.
func TestStaleness(t *testing.T) {
	tests := []struct {
		what       string
		mono, wall time.Duration
		cached     bool
	}{
		{"nothing happens", 0, 0, true},
		{"at the bound", 5 * time.Second, 5 * time.Second, true},
		{"past the bound", 5*time.Second + 1, 5*time.Second + 1, false},
		{"past the bound, the clock set back meanwhile", 6 * time.Second, 2 * time.Second, false},
		{"the machine slept: only the wall clock went on", time.Millisecond, time.Hour, false},
		{"the clock set forward by less than the bound", time.Second, 4 * time.Second, true},
		{"the clock set forward", 0, time.Hour, false},
		{"the clock set back", time.Second, -time.Hour, false},
		{"the clock set back by a moment", 0, -1, false},
		{"the machine slept, and then its clock was set back", time.Millisecond, -time.Minute, false},
	}
	for _, test := range tests {
		t.Run(test.what, func(t *testing.T) {
			inBubble(t, nil, func(r *rig) {
				r.create()
				r.want(r.get(r.Context(), keyID), "live")
				r.revoke(r.store)
				r.mono, r.wall = test.mono, test.wall
				a := r.get(r.Context(), keyID)
				if test.cached {
					r.want(a, "live")
					r.wantQueries(1)
				} else {
					r.want(a, "revoked")
					r.wantQueries(2)
				}
			})
		})
	}
}

// The bound counts from the start of the read, not from its end.
func TestStaleFromTheStart(t *testing.T) {
	inBubble(t, &Config{QueryTimeout: 5 * time.Second}, func(r *rig) {
		r.create()
		r.store.hold = true
		a := r.get(r.Context(), keyID)
		close(r.store.step(0).read)
		synctest.Wait()
		r.revoke(r.store)
		wait(4 * time.Second)
		r.finish(0)
		r.want(a, "live")
		wait(time.Second)
		r.want(r.get(r.Context(), keyID), "live")
		wait(1)
		b := r.get(r.Context(), keyID)
		r.settle()
		r.want(b, "revoked")
	})
}

// wait lets the bubble's time pass.
func wait(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // of the bubble's clock
	synctest.Wait()
}

// The machine sleeps in the middle of a read: what that read is not believed,
// not even by who asked for it, nor does anybody join it.
func TestSleepWithinARead(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.create()
		r.store.hold = true
		a := r.get(r.Context(), keyID)
		close(r.store.step(0).read)
		synctest.Wait()
		r.revoke(r.store)
		r.wall = time.Hour
		b := r.get(r.Context(), keyID)
		r.wantQueries(2)
		r.finish(0)
		r.want(a, "waits")
		r.settle()
		r.want(a, "revoked")
		r.want(b, "revoked")
	})
	inBubble(t, nil, func(r *rig) { // nor that a key was not there
		r.store.hold = true
		a := r.get(r.Context(), keyID)
		close(r.store.step(0).read)
		synctest.Wait()
		r.create()
		r.wall = time.Hour
		r.finish(0)
		r.settle()
		r.want(a, "live")
	})
}

// A store whose every answer comes too late fails, and does not go on for ever.
func TestTimeoutAsLongAsTheBound(t *testing.T) {
	inBubble(t, &Config{MaxStale: time.Second}, func(r *rig) {
		r.create()
		r.store.hold = true
		a := r.get(r.Context(), keyID)
		r.mono = 1 // the timer was late
		wait(time.Second)
		r.want(a, "failed")
		if !errors.Is(a.err, errTimeout) || errors.Is(a.err, context.DeadlineExceeded) {
			r.Errorf("%v: want one that is not the caller's own deadline", a.err)
		}
	})
}

// failing makes the inner Store fail, once the key is cached.
func failing(t *testing.T, cfg *Config, fail func() apikeytest.Fault, f func(r *rig, faulty *apikeytest.FaultyStore)) {
	t.Helper()
	inBubble(t, cfg, func(r *rig) {
		r.create()
		faulty := &apikeytest.FaultyStore{Store: r.store}
		s := newCache(r.T, faulty, cfg)
		r.tick(s)
		r.Store = s
		r.want(r.get(r.Context(), keyID), "live")
		faulty.Fail = func(string, int) apikeytest.Fault { return fail() }
		f(r, faulty)
	})
}

// Where the store fails, nothing older than MaxStale is served, unless it is
// asked for by name, and then nothing older than that.
func TestInsecureStaleFor(t *testing.T) {
	asked := &Config{InsecureStaleFor: time.Minute}
	tests := []struct {
		what       string
		cfg        *Config
		mono, wall time.Duration
		want       string
	}{
		{"not asked for", nil, 6 * time.Second, 6 * time.Second, "failed"},
		{"within it", asked, 58 * time.Second, 58 * time.Second, "live"}, // a store that hangs takes a second more
		{"older", asked, time.Minute + 1, 0, "failed"},
		{"older, asleep", asked, 0, time.Minute + 1, "failed"},
		{"the clock set back", asked, time.Second, -time.Hour, "failed"},
	}
	for _, test := range tests {
		for _, fault := range []apikeytest.Fault{apikeytest.FailBefore, apikeytest.Hang, apikeytest.Panic, apikeytest.ReturnNil} {
			t.Run(fmt.Sprint(test.what, " ", fault), func(t *testing.T) {
				failing(t, test.cfg, func() apikeytest.Fault { return fault }, func(r *rig, _ *apikeytest.FaultyStore) {
					r.mono, r.wall = test.mono, test.wall
					a := r.get(r.Context(), keyID)
					wait(time.Second)
					r.want(a, test.want)
				})
			})
		}
	}
}

// What was forgotten is gone, however long stale records may be served.
func TestForgottenIsNeverStale(t *testing.T) {
	for what, forget := range map[string]func(r *rig){
		"by ID": func(r *rig) { r.Forget(keyID) }, "by alias": func(r *rig) { r.Forget(keyAlias) }, "all": func(r *rig) { r.forgetAll() },
	} {
		t.Run(what, func(t *testing.T) {
			failing(t, &Config{InsecureStaleFor: time.Hour}, func() apikeytest.Fault { return apikeytest.FailBefore }, func(r *rig, _ *apikeytest.FaultyStore) {
				forget(r)
				r.want(r.get(r.Context(), keyID), "failed")
				r.want(r.get(r.Context(), keyAlias), "failed")
			})
		})
	}
}

// A store that says what is so does not fail.
func TestStaleNotBesideAnAnswer(t *testing.T) {
	for _, said := range []error{apikey.ErrNewerRecord, apikey.ErrBadRecord, apikey.ErrNotFound} {
		inBubble(t, &Config{InsecureStaleFor: time.Hour}, func(r *rig) {
			r.create()
			r.want(r.get(r.Context(), keyID), "live")
			r.store.Store = says{r.store.Store, fmt.Errorf("row 7: %w", said)}
			wait(6 * time.Second)
			if _, err := r.Get(r.Context(), keyID); !errors.Is(err, said) {
				r.Errorf("%v, want %v", err, said)
			}
		})
	}
}

type says struct {
	apikey.Store
	err error
}

func (s says) Get(context.Context, string) (*apikey.Record, error) { return nil, s.err }

// What is no answer is an error, also where it would end the process.
func TestAnswersThatAreNone(t *testing.T) {
	for _, fault := range []apikeytest.Fault{apikeytest.FailBefore, apikeytest.Hang, apikeytest.Panic, apikeytest.ReturnNil, apikeytest.ReturnOther} {
		failing(t, nil, func() apikeytest.Fault { return fault }, func(r *rig, f *apikeytest.FaultyStore) {
			wait(6 * time.Second)
			a := r.get(r.Context(), keyID)
			wait(time.Second)
			r.want(a, "failed")
			f.Fail = nil
			r.want(r.get(r.Context(), keyID), "live") // nothing of it stayed
		})
	}
}

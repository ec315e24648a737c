package keycache

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/memstore"
)

// feed is a Store that tells what it is told to.
type feed struct {
	apikey.Store
	watch func(ctx context.Context, changed func(refs []string)) error
}

func (f *feed) Watch(ctx context.Context, changed func(refs []string)) error {
	return f.watch(ctx, changed)
}

// A Watch that fails is called again: soon where it had told something, ever
// later where it had not.
func TestWatchIsRestarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var calls []time.Duration
		var told int
		f := &feed{Store: memstore.New()}
		f.watch = func(_ context.Context, changed func([]string)) error {
			calls = append(calls, time.Since(begin))
			switch len(calls) {
			case 3:
				changed(nil)
			case 5:
				panic("x")
			}
			return errors.New("the connection broke")
		}
		newCache(t, f, &Config{OnWatchError: func(error) { told++; panic("of the host") }})
		wait(100 * time.Second)
		const ms = time.Millisecond
		want := []time.Duration{0, 100 * ms, 300 * ms, 400 * ms, 600 * ms, 1000 * ms, 1800 * ms, 3400 * ms, 6600 * ms, 13000 * ms, 25800 * ms, 51400 * ms, 81400 * ms}
		if len(calls) != len(want) || told != len(want) {
			t.Fatalf("%d calls, %d told, want %d: %v", len(calls), told, len(want), calls)
		}
		for i := range want {
			if calls[i] != want[i] {
				t.Errorf("call %d after %v, want %v", i, calls[i], want[i])
			}
		}
	})
}

func TestWatchUnsupported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		f := &feed{Store: memstore.New(), watch: func(context.Context, func([]string)) error {
			n++
			return apikey.ErrUnsupported
		}}
		newCache(t, f, &Config{OnWatchError: func(err error) { t.Error(err) }})
		wait(time.Hour)
		if n != 1 {
			t.Errorf("called %d times", n)
		}
	})
}

// Close ends the Watch, and is nobody's error.
func TestCloseEndsTheWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := false
		f := &feed{Store: memstore.New(), watch: func(ctx context.Context, _ func([]string)) error {
			<-ctx.Done()
			ended = true
			return ctx.Err()
		}}
		s := newCache(t, f, &Config{OnWatchError: func(err error) { t.Error(err) }})
		synctest.Wait()
		if err := s.Close(t.Context()); err != nil || !ended {
			t.Error(err, ended)
		}
	})
}

// What the feed tells is forgotten: by either name, or all of it.
func TestWatchForgets(t *testing.T) {
	for what, refs := range map[string][]string{"ID": {keyID}, "alias": {keyAlias}, "both": {keyID, keyAlias}, "all": nil} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tell := make(chan []string)
				inner := &barrier{Store: memstore.New()}
				f := &feed{Store: inner, watch: func(ctx context.Context, changed func([]string)) error {
					for {
						select {
						case refs := <-tell:
							changed(refs)
						case <-ctx.Done():
							return ctx.Err()
						}
					}
				}}
				r := &rig{T: t, store: inner, versions: map[string]int64{}}
				r.Store = newCache(t, f, nil)
				r.create()
				for _, name := range []string{keyID, keyAlias} {
					r.want(r.get(t.Context(), name), "live")
				}
				tell <- []string{} // nothing
				tell <- []string{"another", ""}
				synctest.Wait()
				r.want(r.get(t.Context(), keyID), "live")
				r.wantQueries(1)
				r.revoke(r.store)
				tell <- refs
				synctest.Wait()
				for _, name := range []string{keyAlias, keyID} {
					r.want(r.get(t.Context(), name), "revoked")
				}
			})
		})
	}
}

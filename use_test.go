package apikey

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// oneRecord is a Store of one record that takes any usage.
type oneRecord struct {
	Store
	rec *Record
}

func (s *oneRecord) Get(context.Context, string) (*Record, error) { return s.rec, nil }
func (s *oneRecord) AddUsage(context.Context, UsageBatch) error   { return nil }
func (s *oneRecord) Create(_ context.Context, rec *Record, _ Write) error {
	s.rec = rec
	return nil
}

// What is kept of a key in use is let go when it falls idle, and stays while it is busy.
func TestUseOfAnIdleKeyIsLetGo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &oneRecord{}
		m, err := New(store, &Config{FlushInterval: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		issued, err := m.Keyring("acct_42", Operator("ops")).Create(t.Context(), KeyParams{Name: "x"})
		if err != nil {
			t.Fatal(err)
		}
		verify := func(n int) {
			t.Helper()
			for range n {
				if _, _, err := m.Verify(t.Context(), Request{Token: issued.Token.Reveal()}); err != nil {
					t.Fatal(err)
				}
			}
		}
		flush := func() {
			<-time.After(time.Minute)
			synctest.Wait()
		}
		verify(10)
		busy := store.rec.use.Load()
		if busy == nil {
			t.Fatal("nothing is kept of a key in use")
		}
		for range 3 {
			flush()
			verify(10)
			if store.rec.use.Load() != busy {
				t.Fatal("what was kept of a busy key was let go")
			}
		}
		flush() // takes what was counted
		flush() // finds nothing
		if store.rec.use.Load() != nil {
			t.Error("what was kept of a key that is idle is kept still")
		}
		verify(1)
		flush()
		if store.rec.use.Load() != nil {
			t.Error("what was kept of a key that was used once is kept still")
		}
		if n := len(m.usage.busy); n != 0 {
			t.Errorf("%d keys are on the list of the busy ones", n)
		}
		if err := m.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

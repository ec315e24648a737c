package apikeytest

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/go-apikey/apikey"
)

// alwaysFaulty is a FaultyStore over a naive one with a key, at which every
// call of op has the fault.
func alwaysFaulty(t *testing.T, op string, fault Fault) (*FaultyStore, *storeEnv, *apikey.Key) {
	t.Helper()
	inner := &storeEnv{Store: newNaive()}
	k := testKey(1, "acct")
	if err := inner.add(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	return &FaultyStore{Store: inner.Store, Fail: func(called string, _ int) Fault {
		if called == op {
			return fault
		}
		return NoFault
	}}, inner, k
}

// calls are all methods of a Store: each on a key that the store has, but for
// Create, and each leaving a trace that done looks for.
var calls = map[string]struct {
	call func(ctx context.Context, s apikey.Store, k *apikey.Key) error
	done func(ctx context.Context, e *storeEnv, k *apikey.Key) error
}{
	"Create": {
		func(ctx context.Context, s apikey.Store, _ *apikey.Key) error {
			k := testKey(2, "acct")
			return s.Create(ctx, record(k), write("create", k, noCap))
		},
		func(ctx context.Context, e *storeEnv, _ *apikey.Key) error {
			return e.holds(ctx, testKey(2, "").ID, record(testKey(2, "acct")))
		},
	},
	"Update": {
		func(ctx context.Context, s apikey.Store, k *apikey.Key) error {
			next := *k
			next.Version = 2
			return s.Update(ctx, record(&next), write("update", &next, noCap))
		},
		func(ctx context.Context, e *storeEnv, k *apikey.Key) error {
			next := *k
			next.Version = 2
			return e.holds(ctx, k.ID, record(&next))
		},
	},
	"Delete": {
		func(ctx context.Context, s apikey.Store, k *apikey.Key) error {
			return s.Delete(ctx, k.ID, write("delete", k, noCap))
		},
		func(ctx context.Context, e *storeEnv, k *apikey.Key) error { return e.absent(ctx, k.ID) },
	},
	"AddUsage": {
		func(ctx context.Context, s apikey.Store, k *apikey.Key) error {
			return s.AddUsage(ctx, batch("node", 1, used(k.ID, 1)))
		},
		func(ctx context.Context, e *storeEnv, k *apikey.Key) error {
			return e.usageIs(ctx, k.ID, usageOf(used(k.ID, 1)))
		},
	},
	"Get": {call: func(ctx context.Context, s apikey.Store, k *apikey.Key) error {
		_, err := s.Get(ctx, k.ID)
		return err
	}},
	"List": {call: func(ctx context.Context, s apikey.Store, _ *apikey.Key) error {
		_, err := s.List(ctx, apikey.Query{Owner: "acct", Limit: 1})
		return err
	}},
}

func TestFaultyStoreFails(t *testing.T) {
	for op, c := range calls {
		for _, tt := range []struct {
			name  string
			fault Fault
			err   error
			done  bool
		}{
			{"no fault", NoFault, nil, true},
			{"before", FailBefore, ErrFault, false},
			{"after", FailAfter, ErrFault, true},
			{"nil", ReturnNil, nil, false},
		} {
			t.Run(op+" "+tt.name, func(t *testing.T) {
				s, inner, k := alwaysFaulty(t, op, tt.fault)
				if err := c.call(t.Context(), s, k); !errors.Is(err, tt.err) {
					t.Errorf("got error %v, want %v", err, tt.err)
				}
				if s.Calls(op) != 1 {
					t.Errorf("Calls(%q) = %d, want 1", op, s.Calls(op))
				}
				if c.done == nil {
					return
				}
				if err := c.done(t.Context(), inner, k); (err == nil) != tt.done {
					t.Errorf("was it done? %v; want %v", err, tt.done)
				}
			})
		}
	}
}

func TestFaultyStoreHangsUntilCtxEnds(t *testing.T) {
	for op, c := range calls {
		t.Run(op, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, inner, k := alwaysFaulty(t, op, Hang)
				ctx, cancel := context.WithCancel(t.Context())
				returned := make(chan error, 1)
				go func() { returned <- c.call(ctx, s, k) }()
				synctest.Wait()
				select {
				case err := <-returned:
					t.Fatalf("returned %v before its ctx ended", err)
				default:
				}
				cancel()
				if err := <-returned; !errors.Is(err, context.Canceled) {
					t.Errorf("got error %v, want the ctx's", err)
				}
				if c.done != nil && c.done(t.Context(), inner, k) == nil {
					t.Error("it was done all the same")
				}
			})
		})
	}
}

func TestFaultyStorePanics(t *testing.T) {
	for op, c := range calls {
		t.Run(op, func(t *testing.T) {
			s, _, k := alwaysFaulty(t, op, Panic)
			defer func() {
				if err, _ := recover().(error); !errors.Is(err, ErrFault) {
					t.Errorf("panicked with %v, want ErrFault", err)
				}
			}()
			t.Errorf("returned %v, want a panic", c.call(t.Context(), s, k))
		})
	}
}

func TestFaultyStoreGetReturnsWhatItMust(t *testing.T) {
	s, _, k := alwaysFaulty(t, "Get", ReturnNil)
	if rec, err := s.Get(t.Context(), k.ID); rec != nil || err != nil {
		t.Errorf("ReturnNil: got %v, %v, want nil, nil", rec, err)
	}
	s, inner, k := alwaysFaulty(t, "Get", ReturnOther)
	rec, err := s.Get(t.Context(), k.ID)
	if err != nil {
		t.Fatal(err)
	}
	if rec.ID() == k.ID || len(rec.ID()) != len(k.ID) {
		t.Errorf("ReturnOther: got a record with ID %s for %s", rec.ID(), k.ID)
	}
	other := rec.Key()
	other.ID = k.ID
	if d := diff(k, other); d != "" {
		t.Errorf("ReturnOther: more than the ID differs:\n%s", d)
	}
	if err := inner.holds(t.Context(), k.ID, record(k)); err != nil {
		t.Error(err)
	}
	if _, err := s.Get(t.Context(), "Key999999999"); !errors.Is(err, apikey.ErrNotFound) {
		t.Errorf("ReturnOther of an absent key: %v, want ErrNotFound", err)
	}
}

func TestFaultyStoreFailsInTheMiddleOfABatch(t *testing.T) {
	inner := &storeEnv{Store: newNaive()}
	keys := testKeys(4, "acct")
	if err := inner.add(t.Context(), keys...); err != nil {
		t.Fatal(err)
	}
	s := &FaultyStore{Store: inner.Store, Fail: func(op string, n int) Fault {
		if n == 1 {
			return FailHalf
		}
		return NoFault
	}}
	b := batch("node", 1)
	for i, k := range keys {
		for secret := range uint32(i + 1) { // the fifth of ten is of the third key
			u := used(k.ID, 1)
			u.Secret = secret + 1
			b.Entries = append(b.Entries, u)
		}
	}
	for call, want := range [][4]int64{{1, 2, 0, 0}, {1, 2, 3, 4}, {1, 2, 3, 4}} {
		if err := s.AddUsage(t.Context(), b); (call == 0) != errors.Is(err, ErrFault) {
			t.Fatalf("call %d: %v", call+1, err)
		}
		var got [4]int64
		for i, k := range keys {
			page, err := inner.List(t.Context(), apikey.Query{Owner: "acct", IDs: []string{k.ID}, Limit: 1})
			if err != nil || len(page.Keys) != 1 {
				t.Fatalf("List = %v, %v", page.Keys, err)
			}
			got[i] = page.Keys[0].Usage.Requests
		}
		if got != want {
			t.Errorf("after call %d the keys have %v requests, want %v", call+1, got, want)
		}
	}
}

func TestFaultyStoreCountsEachOp(t *testing.T) {
	var asked []int
	s := &FaultyStore{Store: newNaive(), Fail: func(op string, n int) Fault {
		if op == "Get" {
			asked = append(asked, n)
		}
		return NoFault
	}}
	for range 3 {
		_, _ = s.Get(t.Context(), "Key000000001")
		_, _ = s.List(t.Context(), apikey.Query{Limit: 1})
	}
	if d := diff([]int{1, 2, 3}, asked); d != "" {
		t.Errorf("Fail was asked for Get (-want +got):\n%s", d)
	}
	if s.Calls("Create") != 0 {
		t.Errorf("Calls of what was not called = %d", s.Calls("Create"))
	}
}

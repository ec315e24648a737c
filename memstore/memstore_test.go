package memstore_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/memstore"
)

// usageCmp lets cmp look at a Usage.
var usageCmp = cmpopts.EquateComparable(netip.Addr{})

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestHistoryIsBounded(t *testing.T) {
	tests := []struct {
		max, made int
		want      []string // newest first
	}{
		{max: -1, made: 3, want: nil},
		{max: 1, made: 3, want: []string{"change 3"}},
		{max: 3, made: 2, want: []string{"change 2", "change 1"}},
		{max: 3, made: 3, want: []string{"change 3", "change 2", "change 1"}},
		{max: 3, made: 7, want: []string{"change 7", "change 6", "change 5"}},
	}
	for _, test := range tests {
		t.Run(fmt.Sprintf("max=%d made=%d", test.max, test.made), func(t *testing.T) {
			s := memstore.NewWith(memstore.Config{MaxHistory: test.max})
			for n := range test.made {
				change(t, s, n+1)
			}
			var got []string
			for q := (apikey.HistoryQuery{Owner: "o", Limit: 2}); ; {
				page, err := s.History(t.Context(), q)
				if err != nil {
					t.Fatal(err)
				}
				for _, c := range page.Changes {
					got = append(got, c.Action)
				}
				if q.After = page.Next; q.After == "" {
					break
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestHistoryForgetsWhilePaging(t *testing.T) {
	s := memstore.NewWith(memstore.Config{MaxHistory: 3})
	for n := range 3 {
		change(t, s, n+1)
	}
	q := apikey.HistoryQuery{AllOwners: true, Limit: 1}
	page, err := s.History(t.Context(), q)
	if err != nil || len(page.Changes) != 1 || page.Next == "" {
		t.Fatalf("first page: %v, %v", page, err)
	}
	for n := 3; n < 6; n++ {
		change(t, s, n+1)
	}
	q.After = page.Next
	if page, err = s.History(t.Context(), q); err != nil || len(page.Changes) != 0 || page.Next != "" {
		t.Errorf("a page of changes that were forgotten: %v, %v; want none and no Next", page, err)
	}
}

func TestHistoryLooksAtSoManyAtOnce(t *testing.T) {
	s := memstore.New()
	change(t, s, 1)
	for n := range 10_000 {
		mustCreate(t, s, newRecord(t, testKey(n+1)))
	}
	q := apikey.HistoryQuery{Owner: "o", KeyID: keyID(0), Limit: 10}
	page, err := s.History(t.Context(), q)
	if err != nil || len(page.Changes) != 0 || page.Next == "" {
		t.Fatalf("10,000 other changes: %d found, Next %q, %v; want none yet, and a Next", len(page.Changes), page.Next, err)
	}
	q.After = page.Next
	if page, err = s.History(t.Context(), q); err != nil || len(page.Changes) != 1 || page.Next != "" {
		t.Errorf("the page after: %d found, Next %q, %v; want 1, no Next", len(page.Changes), page.Next, err)
	}
}

func TestListLooksAtSoManyAtOnce(t *testing.T) {
	s := memstore.New()
	for n := range 10_001 {
		mustCreate(t, s, newRecord(t, testKey(n)))
	}
	q := apikey.Query{Owner: "o", Text: "name of 0.", Limit: 10}
	page, err := s.List(t.Context(), q)
	if err != nil || len(page.Keys) != 0 || page.Next == "" {
		t.Fatalf("10,000 other keys: %d found, Next %q, %v; want none yet, and a Next", len(page.Keys), page.Next, err)
	}
	q.After = page.Next
	if page, err = s.List(t.Context(), q); err != nil || len(page.Keys) != 1 || page.Next != "" {
		t.Errorf("the page after: %d found, Next %q, %v; want 1, no Next", len(page.Keys), page.Next, err)
	}
}

func TestUsageIsKept90Days(t *testing.T) {
	s := memstore.New()
	mustCreate(t, s, newRecord(t, testKey(0)))
	const kept = 90 * 24
	seq := int64(0)
	use := func(hour int) {
		seq++
		err := s.AddUsage(t.Context(), apikey.UsageBatch{Node: "n", Seq: seq, Entries: []apikey.UsageEntry{
			{KeyID: keyID(0), Secret: 1, Hour: start.Add(time.Duration(hour) * time.Hour), Requests: 1},
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
	hours := func() (hours []int) {
		points, err := s.Usage(t.Context(), keyID(0), apikey.UsageQuery{})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range points {
			hours = append(hours, int(p.Hour.Sub(start)/time.Hour))
		}
		return hours
	}
	for hour := range kept {
		use(hour)
	}
	if got := hours(); len(got) != kept || got[0] != 0 {
		t.Fatalf("after 90 days there are %d hours from %d on, want %d from 0 on", len(got), got[0], kept)
	}
	use(kept)
	if got := hours(); len(got) != kept || got[0] != 1 {
		t.Errorf("one hour later there are %d hours from %d on, want %d from 1 on", len(got), got[0], kept)
	}
	use(0) // a node that comes late
	if got := hours(); len(got) != kept || got[0] != 1 {
		t.Errorf("an hour beyond the 90 days is back: %d hours from %d on", len(got), got[0])
	}
	use(3 * kept)
	if diff := cmp.Diff([]int{3 * kept}, hours()); diff != "" {
		t.Error(diff)
	}
	page, err := s.List(t.Context(), apikey.Query{Owner: "o", Limit: 1})
	if err != nil || page.Keys[0].Usage.Requests != kept+3 {
		t.Errorf("total is %d, want %d: it keeps what the series forgot (%v)", page.Keys[0].Usage.Requests, kept+3, err)
	}
}

func TestWatchOverflow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := memstore.New()
		told, goOn := make(chan []string), make(chan struct{})
		ended := make(chan error)
		go func() {
			ended <- s.Watch(ctx, func(refs []string) {
				told <- refs
				<-goOn
			})
		}()
		if refs := <-told; refs != nil {
			t.Errorf("first call with %v, want nil", refs)
		}
		for n := range 1024 { // changed is busy: they wait
			mustCreate(t, s, newRecord(t, testKey(n)))
		}
		goOn <- struct{}{}
		if refs := <-told; len(refs) != 1024 || refs[0] != keyID(0) || refs[1023] != keyID(1023) {
			t.Errorf("told of %d changes, want 1,024 in order", len(refs))
		}
		for n := range 1025 {
			mustCreate(t, s, newRecord(t, testKey(2000+n)))
		}
		goOn <- struct{}{}
		if refs := <-told; refs != nil {
			t.Errorf("after 1,025 changes told of %d, want nil", len(refs))
		}
		goOn <- struct{}{}
		synctest.Wait() // it has nothing more to tell, or the next one would wait in told
		change(t, s, 9000)
		if refs := <-told; !slices.Equal(refs, []string{keyID(0)}) {
			t.Errorf("told of %v, want one change after the gap", refs)
		}
		goOn <- struct{}{}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Watch ended with %v, want the context's error", err)
		}
		change(t, s, 9001) // nobody is told
	})
}

// TestSlotsAreReused deletes and creates keys whose slots and table cells are
// used again and again, while others read: one who asks for a key gets that
// key or none, and a key that stays is always there.
func TestSlotsAreReused(t *testing.T) {
	const stay, come = 50, 3000
	s := memstore.NewWith(memstore.Config{MaxHistory: -1})
	for n := range stay {
		mustCreate(t, s, newRecord(t, testKey(n)))
	}
	ctx, cancel := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	for r := range 4 {
		readers.Go(func() {
			for i := r; ctx.Err() == nil; i++ {
				if rec, err := s.Get(t.Context(), keyID(i%stay)); err != nil || rec.ID() != keyID(i%stay) {
					t.Errorf("Get of a key that stays: %v, %v", rec, err)
					return
				}
				id := keyID(stay + i%come)
				if rec, err := s.Get(t.Context(), id); err == nil && rec.ID() != id || err != nil && !errors.Is(err, apikey.ErrNotFound) {
					t.Errorf("Get of %s: %v, %v", id, rec, err)
					return
				}
			}
		})
	}
	for n := stay; n < stay+come; n++ {
		mustCreate(t, s, newRecord(t, testKey(n)))
		if n >= stay+10 {
			if err := s.Delete(t.Context(), keyID(n-10), apikey.Write{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	cancel()
	readers.Wait()
	page, err := s.List(t.Context(), apikey.Query{AllOwners: true, Limit: 1000})
	if err != nil || len(page.Keys) != stay+10 {
		t.Errorf("%d keys are left, want %d (%v)", len(page.Keys), stay+10, err)
	}
}

func TestUpdateKeepsWhatNeverChanges(t *testing.T) {
	for name, change := range map[string]func(*apikey.Key){
		"alias":      func(k *apikey.Key) { k.Alias = "~other:1" },
		"no alias":   func(k *apikey.Key) { k.Alias = "" },
		"owner":      func(k *apikey.Key) { k.Owner = "other" },
		"created at": func(k *apikey.Key) { k.CreatedAt = k.CreatedAt.Add(time.Microsecond) },
	} {
		t.Run(name, func(t *testing.T) {
			s := memstore.New()
			k := testKey(0)
			k.Alias = "~scheme:1"
			stored := newRecord(t, k)
			mustCreate(t, s, stored)
			k.Version = 2
			change(k)
			err := s.Update(t.Context(), newRecord(t, k), apikey.Write{MaxKeys: -1})
			if !errors.Is(err, apikey.ErrInvalid) || !errors.Is(err, apikey.ErrNotApplied) {
				t.Errorf("Update gave %v, want ErrInvalid and ErrNotApplied", err)
			}
			if got, err := s.Get(t.Context(), keyID(0)); got != stored {
				t.Errorf("Get gives another record than before (%v)", err)
			}
			if page, err := s.History(t.Context(), apikey.HistoryQuery{AllOwners: true, Limit: 10}); len(page.Changes) != 1 {
				t.Errorf("the history has %d changes, want the one of Create (%v)", len(page.Changes), err)
			}
		})
	}
}

func TestEndedWritesAreNotApplied(t *testing.T) {
	s := memstore.New()
	mustCreate(t, s, newRecord(t, testKey(0)))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	next := testKey(0)
	next.Version = 2
	for name, err := range map[string]error{
		"Create":   s.Create(ctx, newRecord(t, testKey(1)), apikey.Write{MaxKeys: -1}),
		"Update":   s.Update(ctx, newRecord(t, next), apikey.Write{MaxKeys: -1}),
		"Delete":   s.Delete(ctx, keyID(0), apikey.Write{}),
		"AddUsage": s.AddUsage(ctx, apikey.UsageBatch{Node: "n", Seq: 1, Entries: []apikey.UsageEntry{{KeyID: keyID(0), Requests: 1}}}),
	} {
		if !errors.Is(err, context.Canceled) || !errors.Is(err, apikey.ErrNotApplied) {
			t.Errorf("%s gave %v, want the context's error and ErrNotApplied", name, err)
		}
	}
	page, err := s.List(t.Context(), apikey.Query{AllOwners: true, Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]*apikey.Key{newRecord(t, testKey(0)).Key()}, page.Keys, usageCmp); diff != "" {
		t.Error(diff)
	}
}

func TestGetAllocatesNothing(t *testing.T) {
	s := memstore.New()
	k := testKey(0)
	k.Alias = "~scheme:1"
	mustCreate(t, s, newRecord(t, k))
	for _, ref := range []string{k.ID, k.Alias, "absent"} {
		if n := testing.AllocsPerRun(100, func() { _, _ = s.Get(t.Context(), ref) }); n != 0 {
			t.Errorf("Get(%q) allocates %v times", ref, n)
		}
	}
}

// testKey is the n-th key of owner o, made n seconds after start.
func testKey(n int) *apikey.Key {
	created := start.Add(time.Duration(n) * time.Second)
	return &apikey.Key{
		ID: keyID(n), Owner: "o", Name: fmt.Sprintf("Name of %d.", n), CreatedAt: created,
		Secrets: []apikey.Secret{{N: 1, Prefix: "sk_", CreatedAt: created}}, Version: 1,
	}
}

// change makes the n-th change of key 0.
func change(t *testing.T, s *memstore.Store, n int) {
	t.Helper()
	k, w := testKey(0), apikey.Write{Change: apikey.Change{Owner: "o", KeyID: keyID(0), Action: fmt.Sprintf("change %d", n)}, MaxKeys: -1}
	err := s.Create(t.Context(), newRecord(t, k), w)
	if errors.Is(err, apikey.ErrExists) {
		rec, getErr := s.Get(t.Context(), k.ID)
		if getErr != nil {
			t.Fatal(getErr)
		}
		k.Version = rec.Version() + 1
		err = s.Update(t.Context(), newRecord(t, k), w)
	}
	if err != nil {
		t.Fatal(err)
	}
}

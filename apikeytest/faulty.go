package apikeytest

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/go-apikey/apikey"
)

// Fault is what a [FaultyStore] does to a call.
type Fault int

// The faults.
const (
	NoFault     Fault = iota // the call is as ever
	FailBefore               // nothing is done, and ErrFault returned
	FailAfter                // all is done, and ErrFault returned all the same
	FailHalf                 // AddUsage: the first half of the entries is applied, and ErrFault returned; other calls: FailAfter
	Hang                     // nothing is done; the call returns ctx's error when ctx ends, and not before
	Panic                    // nothing is done, and the call panics with ErrFault
	ReturnNil                // nothing is done, and every result is nil, nil errors too: what Get never does
	ReturnOther              // Get returns the record that it was asked for under another ID, which it never does either; other calls: NoFault
)

// ErrFault is what a [FaultyStore] fails with. It says nothing about the
// outcome: it is not apikey.ErrNotApplied.
var ErrFault = errors.New("apikeytest: the store failed, as it was told to")

// FaultyStore is a Store that fails as it is told to, to test what a service
// or a Manager makes of it. It has none of the abilities that Store may have
// besides. It may be used concurrently; its fields must not change meanwhile.
type FaultyStore struct {
	Store apikey.Store // what calls without a fault go to

	// Fail says what happens to the n-th call of op: 1, 2, …, counted for each
	// op. op is a method's name: "Get", "AddUsage". nil: nothing fails. It may
	// be called concurrently.
	Fail func(op string, n int) Fault

	mu    sync.Mutex
	calls map[string]int
}

var _ apikey.Store = (*FaultyStore)(nil)

// Calls is how often op was called, faults included: whether the store was
// asked at all.
func (s *FaultyStore) Calls(op string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[op]
}

// Create is that of Store, or a fault.
func (s *FaultyStore) Create(ctx context.Context, rec *apikey.Record, w apikey.Write) error {
	return s.call(ctx, "Create", func(Fault) error { return s.Store.Create(ctx, rec, w) })
}

// Update is that of Store, or a fault.
func (s *FaultyStore) Update(ctx context.Context, rec *apikey.Record, w apikey.Write) error {
	return s.call(ctx, "Update", func(Fault) error { return s.Store.Update(ctx, rec, w) })
}

// Delete is that of Store, or a fault.
func (s *FaultyStore) Delete(ctx context.Context, id string, w apikey.Write) error {
	return s.call(ctx, "Delete", func(Fault) error { return s.Store.Delete(ctx, id, w) })
}

// AddUsage is that of Store, or a fault.
func (s *FaultyStore) AddUsage(ctx context.Context, b apikey.UsageBatch) error {
	return s.call(ctx, "AddUsage", func(f Fault) error {
		if f == FailHalf {
			b.Entries = halfOf(b.Entries)
		}
		return s.Store.AddUsage(ctx, b)
	})
}

// Get is that of Store, or a fault.
func (s *FaultyStore) Get(ctx context.Context, ref string) (*apikey.Record, error) {
	var rec *apikey.Record
	err := s.call(ctx, "Get", func(f Fault) (err error) {
		rec, err = s.Store.Get(ctx, ref)
		if f == ReturnOther && err == nil {
			rec = renamed(rec)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return rec, nil
}

// List is that of Store, or a fault.
func (s *FaultyStore) List(ctx context.Context, q apikey.Query) (apikey.Page, error) {
	var page apikey.Page
	err := s.call(ctx, "List", func(Fault) (err error) {
		page, err = s.Store.List(ctx, q)
		return err
	})
	if err != nil {
		return apikey.Page{}, err
	}
	return page, nil
}

// call does one call of op, or what Fail has in its place.
func (s *FaultyStore) call(ctx context.Context, op string, do func(Fault) error) error {
	fault := s.next(op)
	switch fault {
	case FailBefore:
		return fmt.Errorf("%s: %w", op, ErrFault)
	case Hang:
		<-ctx.Done()
		return ctx.Err()
	case Panic:
		panic(ErrFault)
	case ReturnNil:
		return nil
	case NoFault, ReturnOther:
		return do(fault)
	case FailAfter, FailHalf:
		if err := do(fault); err != nil {
			return err
		}
		return fmt.Errorf("%s: %w", op, ErrFault)
	default:
		panic(fmt.Sprintf("apikeytest: FaultyStore.Fail returned %d", fault))
	}
}

// next counts a call and asks what happens to it.
func (s *FaultyStore) next(op string) Fault {
	s.mu.Lock()
	if s.calls == nil {
		s.calls = map[string]int{}
	}
	s.calls[op]++
	n := s.calls[op]
	s.mu.Unlock()
	if s.Fail == nil {
		return NoFault
	}
	return s.Fail(op, n)
}

// halfOf is the first half of entries, cut between two keys where it can be:
// a Store applies a key's entries together.
func halfOf(entries []apikey.UsageEntry) []apikey.UsageEntry {
	n := len(entries) / 2
	for n > 0 && entries[n-1].KeyID == entries[n].KeyID {
		n--
	}
	return entries[:n]
}

// renamed is rec under another ID, with the same digests, so that only the ID
// tells that it is the wrong one.
func renamed(rec *apikey.Record) *apikey.Record {
	b := rec.Bytes()
	last := int(b[2])<<8 | int(b[3]) // where the public part begins, with the ID and its length before it
	last += int(b[last])
	if b[last] == 'x' {
		b[last] = 'y'
	} else {
		b[last] = 'x'
	}
	other, err := apikey.ParseRecord(b)
	if err != nil {
		panic(err) // the ID stays base62
	}
	return other
}

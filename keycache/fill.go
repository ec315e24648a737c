package keycache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-apikey/apikey"
)

// ErrBusy is the error of a look-up that does not even wait: the cache does not
// know the key, and too many others that it does not know wait for the store
// already. To clients it is a 503.
var ErrBusy = errors.New("apikey: keycache: too many look-ups of unknown keys wait for the store")

var (
	errTimeout = errors.New("apikey: keycache: the store did not answer within QueryTimeout")
	errClosing = errors.New("apikey: keycache: closed while looking up")
)

// queued are the look-ups that wait for each that Config.UnknownLookups lets in.
const queued = 32

// fill is one query of the inner Store, and those who wait for it.
type fill struct {
	ref     string
	unknown bool // no entry told of ref
	waiters int  // mu
	done    chan struct{}

	began uint64 // the last drop before it; mu
	start moment // when it began; mu

	// The answer, once done is closed.
	rec     *apikey.Record
	err     error
	dropped uint64 // the first drop since it began that may concern the key; 0: none
	late    bool   // what it read is too old already
}

// miss reads from the inner Store, together with all who miss the same.
func (s *Store) miss(ctx context.Context, ref string) (*apikey.Record, error) {
	for {
		f, joined, rec, err := s.join(ref)
		switch {
		case errors.Is(err, errClosed):
			return s.inner.Get(ctx, ref)
		case err != nil || rec != nil:
			return rec, err
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			s.leave(f)
			return nil, ended(ctx.Err())
		}
		switch {
		case f.late, f.dropped != 0 && f.dropped <= joined:
			if err := ctx.Err(); err != nil {
				return nil, ended(err)
			}
			continue // it may have read what was before something that this call comes after
		case f.err == nil:
			return f.rec, nil
		}
		if rec := s.stale(ref, f.err); rec != nil {
			return rec, nil
		}
		return nil, f.err
	}
}

var errClosed = errors.New("apikey: keycache: closed")

// join finds a query to wait for or starts one. joined is the last drop before
// it. A record that came meanwhile is returned in its place.
func (s *Store) join(ref string) (f *fill, joined uint64, rec *apikey.Record, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, 0, nil, errClosed
	}
	old, known := s.entries.GetEntryQuietly(ref)
	if known {
		if rec := s.recordOf(old.Value, s.cfg.MaxStale); rec != nil {
			return nil, 0, rec, nil
		}
	}
	f = s.fills[ref]
	if f == nil || !s.joinable(f, known) {
		f = &fill{ref: ref, unknown: !known, done: make(chan struct{})}
		if err := s.admit(f); err != nil {
			return nil, 0, nil, err
		}
		s.fills[ref] = f
	}
	f.waiters++
	return f, s.drops.last, nil, nil
}

// joinable reports whether who comes now may wait for f: not if what it reads
// would be too old for them by then, nor if it waits for a turn that a known key
// need not wait for. The caller holds mu.
func (s *Store) joinable(f *fill, known bool) bool {
	if _, running := s.running[f]; !running {
		return !known
	}
	return !s.tooOld(f)
}

// tooOld reports whether what f read, which has begun, is too old.
func (s *Store) tooOld(f *fill) bool { return s.now().since(f.start) > s.cfg.MaxStale }

// admit starts f or lets it wait for its turn. The caller holds mu.
func (s *Store) admit(f *fill) error {
	switch {
	case !f.unknown || s.unknown < s.cfg.UnknownLookups:
		s.begin(f)
	case len(s.queue) < queued*s.cfg.UnknownLookups:
		s.queue = append(s.queue, f)
	default:
		return ErrBusy
	}
	return nil
}

// begin starts the query of f. The caller holds mu.
func (s *Store) begin(f *fill) {
	if f.unknown {
		s.unknown++
	}
	f.began, f.start = s.drops.last, s.now()
	s.running[f] = struct{}{}
	s.work.Go(func() {
		rec, err := s.query(f.ref)
		s.finish(f, rec, err)
	})
}

// leave takes one waiter off. A query that nobody waits for any more goes on if
// it has begun: the next request finds what it gave.
func (s *Store) leave(f *fill) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.waiters--
	i := slices.Index(s.queue, f)
	if f.waiters > 0 || i < 0 {
		return
	}
	s.queue = slices.Delete(s.queue, i, i+1)
	if s.fills[f.ref] == f {
		delete(s.fills, f.ref)
	}
}

// query asks the inner Store, and believes no answer that is none.
func (s *Store) query(ref string) (rec *apikey.Record, err error) {
	ctx, cancel := context.WithTimeout(s.life, s.cfg.QueryTimeout)
	defer cancel()
	defer func() {
		if r := recover(); r != nil { // of the store; here it would end the process
			rec, err = nil, fmt.Errorf("apikey: keycache: panic: %v", r)
		}
	}()
	rec, err = s.inner.Get(ctx, ref)
	switch {
	case err != nil && s.life.Err() != nil:
		return nil, errClosing
	case err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return nil, errTimeout // not the caller's own deadline
	case err != nil:
		return nil, err
	case rec == nil:
		return nil, errors.New("apikey: keycache: the store answered with neither a record nor an error")
	case rec.ID() != ref && (rec.Alias() != ref || !strings.HasPrefix(ref, "~")):
		return nil, errors.New("apikey: keycache: the store answered with another key's record")
	}
	return rec, nil
}

// finish caches the answer, if nothing came between, and tells who waits.
func (s *Store) finish(f *fill, rec *apikey.Record, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.rec, f.err = rec, err
	names := []string{f.ref}
	if rec != nil {
		names = append(names, rec.ID(), rec.Alias())
	}
	if f.dropped == 0 {
		f.dropped = s.drops.first(f.began, names)
	}
	f.late = (err == nil || errors.Is(err, apikey.ErrNotFound)) && s.tooOld(f)
	switch {
	case f.dropped != 0 || f.late || s.closed:
	case err == nil:
		s.put(rec, f.start)
	case errors.Is(err, apikey.ErrNotFound):
		s.entries.Invalidate(f.ref)
	}
	if s.fills[f.ref] == f {
		delete(s.fills, f.ref)
	}
	delete(s.running, f)
	if len(s.running) == 0 {
		s.drops.list = nil
	}
	if f.unknown {
		s.unknown--
		if len(s.queue) > 0 {
			next := s.queue[0]
			s.queue = s.queue[1:]
			s.begin(next)
		}
	}
	close(f.done)
}

// stale is a record that may be used because the inner Store failed with err.
// Where it said something, such as that the record is of a newer form, none.
func (s *Store) stale(ref string, err error) *apikey.Record {
	if s.cfg.InsecureStaleFor == 0 {
		return nil
	}
	for _, said := range []error{apikey.ErrNotFound, apikey.ErrNewerRecord, apikey.ErrBadRecord} {
		if errors.Is(err, said) {
			return nil
		}
	}
	if e, ok := s.entries.GetEntryQuietly(ref); ok {
		return s.recordOf(e.Value, s.cfg.InsecureStaleFor)
	}
	return nil
}

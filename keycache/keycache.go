package keycache

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/maypok86/otter/v2"
)

// Config is what can be set of a [Store]. The zero Config is safe.
type Config struct {
	// MaxStale is how old a record may be that still admits a request, from the
	// start of its read. 0: 5 s; at least 1 ms.
	MaxStale time.Duration

	// InsecureStaleFor is how old it may be where the inner Store fails to say
	// what is so now. A key revoked by another node meanwhile still passes on
	// this one. 0: none; else at least MaxStale.
	InsecureStaleFor time.Duration

	// MaxBytes bounds the memory that all of it takes. 0: 64 MiB; at least 1 MiB.
	MaxBytes int64

	// QueryTimeout bounds each look-up in the inner Store. 0: 1 s, or MaxStale
	// if that is less; at most MaxStale. Set it below the Manager's
	// StoreTimeout, or InsecureStaleFor comes too late for a Store that hangs.
	QueryTimeout time.Duration

	// UnknownLookups is how many IDs and aliases that the cache does not know
	// are looked up at once; 32 times as many wait for their turn. 0: 32.
	UnknownLookups int

	// OnWatchError is told why the inner Store's Watch ended; it is called
	// again after a pause of 100 ms to 30 s. nil: nobody is told.
	OnWatchError func(error)

	_ [0]func() // fields are named in literals
}

// Store caches another Store for verification. It is an [apikey.Store] and
// [apikey.Unwrapper], safe for concurrent use. Make one with [New].
type Store struct {
	through // writes and lists
	cfg     Config
	now     func() moment
	entries *otter.Cache[string, *entry] // by ID and by alias
	epoch   atomic.Uint64                // goes up when all is forgotten

	stop context.CancelFunc
	life context.Context //nolint:containedctx // of queries and the watch, which are nobody's in particular
	work sync.WaitGroup  // those that run

	mu      sync.Mutex
	closed  bool
	fills   map[string]*fill // those that may be joined, by ref
	running map[*fill]struct{}
	unknown int     // of running
	queue   []*fill // of unknown refs, in order
	drops   drops
}

var (
	_ apikey.Store     = (*Store)(nil)
	_ apikey.Unwrapper = (*Store)(nil)
)

// entry is what one read gave. A key with an alias has the same entry under
// both names, so that what is forgotten by one is by the other.
type entry struct {
	rec   atomic.Pointer[apikey.Record] // nil: forgotten; the entry stays to tell that the key is known
	start moment                        // of the read
	epoch uint64
	size  uint32
}

// New puts a cache in front of inner. A nil cfg is the zero Config. What is
// wrong in it comes back as one [*apikey.InvalidError].
//
// If inner is an [apikey.Watcher], New starts one goroutine to listen to it.
// Close ends it.
func New(inner apikey.Store, cfg *Config) (*Store, error) {
	s := &Store{now: clock(), fills: make(map[string]*fill), running: make(map[*fill]struct{})}
	if cfg != nil {
		s.cfg = *cfg
	}
	if err := s.cfg.configure(inner); err != nil {
		return nil, err
	}
	s.through = through{inner, s}
	var err error
	s.entries, err = otter.New(&otter.Options[string, *entry]{
		MaximumWeight: uint64(s.cfg.MaxBytes),
		Weigher:       weigh,
		// In place of the record that it had. Under one name or both: with only
		// one name left, forgetting the key by the other would not find it.
		OnAtomicDeletion: func(e otter.DeletionEvent[string, *entry]) { e.Value.rec.Store(nil) },
	})
	if err != nil {
		return nil, fmt.Errorf("apikey: keycache: %w", err)
	}
	s.life, s.stop = context.WithCancel(context.Background())
	if w, ok := inner.(apikey.Watcher); ok {
		s.work.Go(func() { s.watch(w) })
	}
	return s, nil
}

// configure checks c and fills in its defaults.
func (c *Config) configure(inner apikey.Store) error {
	var bad []apikey.FieldError
	check := func(ok bool, field, message string) {
		if !ok {
			bad = append(bad, apikey.FieldError{Field: field, Message: message})
		}
	}
	if c.MaxStale == 0 {
		c.MaxStale = 5 * time.Second
	}
	if c.QueryTimeout == 0 {
		c.QueryTimeout = min(time.Second, c.MaxStale)
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = 64 << 20
	}
	if c.UnknownLookups == 0 {
		c.UnknownLookups = 32
	}
	check(inner != nil, "inner", "must not be nil")
	check(c.MaxStale >= time.Millisecond, "MaxStale", "must be 0 (5s) or at least 1ms")
	check(c.InsecureStaleFor == 0 || c.InsecureStaleFor >= c.MaxStale, "InsecureStaleFor", "must be 0 (none) or at least MaxStale")
	check(c.MaxBytes >= 1<<20, "MaxBytes", "must be 0 (64 MiB) or at least 1 MiB")
	check(c.QueryTimeout > 0 && c.QueryTimeout <= c.MaxStale, "QueryTimeout", "must be 0 (1s) or above, and at most MaxStale")
	check(c.UnknownLookups > 0 && c.UnknownLookups <= 1<<20, "UnknownLookups", "must be 0 (32) or above, and at most 1,048,576")
	if bad != nil {
		return &apikey.InvalidError{Fields: bad}
	}
	return nil
}

// Get returns the record with this ID or alias, no staler than it may be. Its
// errors are those of the inner Store, and [ErrBusy].
func (s *Store) Get(ctx context.Context, ref string) (*apikey.Record, error) {
	if err := ctx.Err(); err != nil {
		return nil, ended(err)
	}
	if e, ok := s.entries.GetIfPresent(ref); ok {
		if rec := s.recordOf(e, s.cfg.MaxStale); rec != nil {
			return rec, nil
		}
	}
	return s.miss(ctx, strings.Clone(ref)) // which may be a part of a token
}

// recordOf is the record of an entry that is not older than most; else nil.
func (s *Store) recordOf(e *entry, most time.Duration) *apikey.Record {
	rec := e.rec.Load()
	if rec == nil || e.epoch != s.epoch.Load() || s.now().since(e.start) > most {
		return nil
	}
	return rec
}

// put caches what a read gave, unless a later one gave something meanwhile.
// The caller holds mu.
func (s *Store) put(rec *apikey.Record, start moment) {
	id, alias := strings.Clone(rec.ID()), strings.Clone(rec.Alias())
	if old, ok := s.entries.GetEntryQuietly(id); ok && old.Value.start.mono > start.mono && s.recordOf(old.Value, s.cfg.MaxStale) != nil {
		return
	}
	e := &entry{start: start, epoch: s.epoch.Load(), size: uint32(len(rec.Bytes()) + overhead)}
	e.rec.Store(rec)
	s.entries.Set(id, e)
	if alias != "" {
		s.entries.Set(alias, e)
	}
}

// What an entry takes beside the record's bytes, at most: see TestMemory. Some
// 220 bytes are the Record, the entry and its place in otter; 640 are what a
// Manager keeps of a key in use.
const (
	overhead  = 900
	aliasSize = 250
)

func weigh(name string, e *entry) uint32 {
	if strings.HasPrefix(name, "~") {
		return aliasSize + uint32(len(name))
	}
	return e.size
}

// Close ends the goroutines of the cache and waits for them, or for ctx. From
// now on calls go to the inner Store, which stays open.
func (s *Store) Close(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	for _, f := range s.queue {
		f.err = errClosing
		close(f.done)
	}
	s.queue = nil
	s.mu.Unlock()
	s.stop()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.work.Wait()
	}()
	s.entries.InvalidateAll() // and nothing comes in any more
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ended(ctx.Err())
	}
}

func ended(err error) error { return fmt.Errorf("apikey: keycache: %w", err) }

package apikey

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// Config is how a [Manager] works. The zero Config is safe: one format with
// the prefix "sk_", no plans, no limits.
type Config struct {
	// Formats are the shapes of tokens that are issued and accepted. The first
	// that is issued is what Create makes if it is not told otherwise.
	// nil: one, with the Prefix "sk_".
	Formats []Format

	// Schemes are the tokens of other systems, of keys imported from them.
	// nil: none.
	Schemes []Scheme

	// Peppers are keys for HMAC-SHA-256 digests. The first makes new ones, the
	// others still verify. nil: SHA-256.
	Peppers []Pepper

	// Catalog is the permissions that this service knows. nil: any well-formed
	// one may be granted.
	Catalog *Catalog

	// Plan says what an owner may do; the context ends after StoreTimeout. It
	// must be safe for concurrent use. nil: no limits and no cap.
	Plan func(ctx context.Context, owner string) (Plan, error)

	// PlanTTL is how long an answer of Plan serves verification. Creating keys
	// always asks. 0: 10 s; at least 1 ms.
	PlanTTL time.Duration

	// Limiter holds the buckets. nil: NewTokenBuckets(), in this process.
	Limiter Limiter

	// FailedAttempts bounds the bad tokens of one peer address, IPv6 by /64, in
	// this process: those with a right checksum, or of the shape of a Scheme,
	// whose key is unknown or whose secret is wrong. Over it they are answered
	// 429 where they were 401; a good token of the same address always passes,
	// but for one of a Scheme that is Slow, which is not looked at then. Behind
	// a balancer, name it in HTTP.TrustedProxies. Zero: not counted.
	FailedAttempts Limit

	// HTTP is how requests carry tokens and how they are answered.
	HTTP HTTPConfig

	// OnEvent is told what happens, in line: it must return at once. A panic
	// in it is swallowed and counted ([Stats]). nil: nobody is told.
	OnEvent func(context.Context, Event)

	// StoreTimeout bounds each call of the Store and of Plan while a request
	// waits. It costs nothing until the Store waits on its context, and cannot
	// stop one that does not. 0: 2 s.
	StoreTimeout time.Duration

	// FlushInterval is how often usage goes to the Store. A crash loses what
	// came since the last flush that succeeded. 0: 5 s.
	FlushInterval time.Duration

	// Now is the clock. nil: time.Now.
	Now func() time.Time

	_ [0]func() // fields are named in literals
}

// Manager verifies requests and hands out [Keyring]s. It is safe for
// concurrent use. There is one for each Store value; Close it at the end.
type Manager struct {
	cfg Config
	shapes
	slow        *slowGate
	store       Store // verification reads it; maybe a cache
	primary     Store // keyrings read and write it
	nonBlocking bool  // store answers from memory
	hasher      *hasher
	plans       *plans        // nil without Config.Plan
	buckets     *TokenBuckets // cfg.Limiter, if it is one; nil: it is another
	usage       *usage
	throttle    *throttle // nil without Config.FailedAttempts
	http        httpRules
	sets        permissionSets
	rehashes    chan rehash
	eventPanics atomic.Int64
	closed      atomic.Bool
	stop        context.CancelFunc // ends the background loop
	done        chan struct{}      // closed when it ended
}

// New makes a Manager of the keys in store. A nil cfg is the zero Config. What
// is wrong in it comes back as one [*InvalidError] that names every field. The
// Config is copied; changing it afterwards changes nothing.
//
// New starts one goroutine, which Close ends.
func New(store Store, cfg *Config) (*Manager, error) {
	m := &Manager{store: store, rehashes: make(chan rehash, 256), done: make(chan struct{})}
	if cfg != nil {
		m.cfg = *cfg
	}
	if err := m.configure(); err != nil {
		return nil, err
	}
	_, m.nonBlocking = store.(NonBlocking)
	for m.primary = store; ; {
		u, ok := m.primary.(Unwrapper)
		if !ok {
			break
		}
		m.primary = u.Unwrap()
	}
	m.hasher = newHasher(m.cfg.Peppers)
	m.slow = newSlowGate()
	if m.cfg.Plan != nil {
		m.plans = newPlans(m.cfg.Plan, m.cfg.PlanTTL)
	}
	m.usage = newUsage(m)
	m.throttle = newThrottle(m.cfg.FailedAttempts)
	ctx, stop := context.WithCancel(context.Background())
	m.stop = stop
	go m.loop(ctx)
	return m, nil
}

// configure checks m.cfg and fills in its defaults.
func (m *Manager) configure() error {
	c := &m.cfg
	var f faults
	if m.store == nil {
		f.add("store", "must not be nil")
	}
	m.formats = append([]Format(nil), c.Formats...)
	if c.Formats == nil {
		m.formats = []Format{{Prefix: "sk_"}}
	}
	if len(m.formats) == 0 {
		f.add("Formats", "must be nil or hold at least one")
	}
	for i := range m.formats {
		m.formats[i] = m.formats[i].withDefaults()
		m.formats[i].check(&f, fmt.Sprintf("Formats[%d]", i))
		for j := range i {
			if m.formats[j].Prefix == m.formats[i].Prefix {
				f.add(fmt.Sprintf("Formats[%d].Prefix", i), "is that of Formats[%d] too", j)
			}
		}
	}
	m.configureSchemes(&f)
	versions := make(map[uint32]bool)
	for i, p := range c.Peppers {
		switch {
		case p.key == nil:
			f.add(fmt.Sprintf("Peppers[%d]", i), "must be made by NewPepper")
		case len(p.key()) < minPepper:
			f.add(fmt.Sprintf("Peppers[%d]", i), "must have at least %d bytes of key", minPepper)
		case versions[p.version]:
			f.add(fmt.Sprintf("Peppers[%d]", i), "has the version of another one")
		}
		versions[p.version] = true
	}
	if c.FailedAttempts != (Limit{}) {
		c.FailedAttempts.check(&f, "FailedAttempts")
	}
	c.Catalog = c.Catalog.clone()
	c.Catalog.check(&f)
	duration := func(d *time.Duration, field string, unset time.Duration) {
		if *d == 0 {
			*d = unset
		}
		if *d < time.Millisecond {
			f.add(field, "must be 0 (%v) or at least 1ms", unset)
		}
	}
	duration(&c.PlanTTL, "PlanTTL", 10*time.Second)
	duration(&c.StoreTimeout, "StoreTimeout", 2*time.Second)
	duration(&c.FlushInterval, "FlushInterval", 5*time.Second)
	m.http.configure(&c.HTTP, &f)
	if c.Limiter == nil {
		c.Limiter = NewTokenBuckets()
	}
	m.buckets, _ = c.Limiter.(*TokenBuckets)
	if c.Now == nil {
		c.Now = time.Now
	}
	return f.err()
}

// configureSchemes checks the schemes beside the formats.
func (m *Manager) configureSchemes(f *faults) {
	m.schemes = append([]Scheme(nil), m.cfg.Schemes...)
	for i := range m.schemes {
		s := &m.schemes[i]
		s.MaxLen = cmp.Or(s.MaxLen, s.MinLen)
		s.check(f, fmt.Sprintf("Schemes[%d]", i), m.formats, m.schemes[:i])
	}
}

func (m *Manager) now() time.Time { return m.cfg.Now() }

// nowMicro is the time as it is stored.
func (m *Manager) nowMicro() time.Time { return m.now().UTC().Truncate(time.Microsecond) }

// loop is the one goroutine: it flushes usage, replaces old digests, and
// sweeps what is idle.
func (m *Manager) loop(ctx context.Context) {
	defer close(m.done)
	tick := time.NewTicker(m.cfg.FlushInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-m.rehashes:
			r.store(ctx, m)
		case <-tick.C:
			if err := m.usage.flush(ctx, false); err != nil && ctx.Err() == nil {
				m.emit(ctx, Event{Kind: EventFlushFailed, At: m.now(), Err: err})
			}
			m.sweep()
		}
	}
}

// sweep drops what was remembered of idle owners and keys.
func (m *Manager) sweep() {
	if m.plans != nil {
		m.plans.sweep(m.now().UnixMicro())
	}
	if t := m.buckets; t != nil {
		t.Sweep(m.now())
	}
}

// protect calls f and makes a panic of the host's code an error. What f was
// doing may have happened.
func (m *Manager) protect(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	return f()
}

// Flush stores the usage counted so far, and replaces the digests that wait to
// be. What the Store does not take now is kept for the next flush, and the
// error says why.
func (m *Manager) Flush(ctx context.Context) error {
	for range len(m.rehashes) {
		select {
		case r := <-m.rehashes:
			r.store(ctx, m)
		default: // the loop took it
		}
	}
	return m.usage.flush(ctx, false)
}

// Close ends the Manager: from now on Verify, Check and every Keyring answer
// [ErrClosed]. It flushes usage and waits for its goroutine; if the Store does
// not take it, or ctx ends first, the error is a [*UsageLostError]. A second
// Close tries again to flush what is left. The Store and the Limiter stay open.
func (m *Manager) Close(ctx context.Context) error {
	m.closed.Store(true)
	m.stop()
	err := m.usage.flush(ctx, true)
	select {
	case <-m.done:
	default:
		select {
		case <-m.done:
		case <-ctx.Done(): // the Store keeps the goroutine
			err = cmp.Or(err, ctx.Err())
		}
	}
	if err != nil {
		return m.usage.lost(err)
	}
	return nil
}

// Stats is what a Manager counts of itself.
type Stats struct {
	EventPanics int64 // panics of Config.OnEvent that were swallowed
}

// Stats is a reading of the counters.
func (m *Manager) Stats() Stats { return Stats{EventPanics: m.eventPanics.Load()} }

// ForgetPlan makes the next request of this owner ask Config.Plan again, on
// this node.
func (m *Manager) ForgetPlan(owner string) {
	if m.plans != nil {
		m.plans.forget(owner)
	}
}

// Formats is a copy of the formats that are accepted, defaults filled in.
func (m *Manager) Formats() []Format { return append([]Format(nil), m.formats...) }

// Catalog is a copy of Config.Catalog; nil: any well-formed permission may be
// granted.
func (m *Manager) Catalog() *Catalog { return m.cfg.Catalog.clone() }

// Plan asks Config.Plan what an owner may do now, as Create does. Without
// Config.Plan it is a Plan without a name and without a cap. Errors: [ErrOwner],
// [*UnavailableError], [ErrClosed].
func (m *Manager) Plan(ctx context.Context, owner string) (Plan, error) {
	switch {
	case m.closed.Load():
		return Plan{}, ErrClosed
	case !validOwner(owner):
		return Plan{}, ErrOwner
	case m.plans == nil:
		return Plan{MaxKeys: NoCap}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, m.cfg.StoreTimeout)
	defer cancel()
	plan, err := m.plans.askHost(ctx, owner)
	if err != nil {
		return Plan{}, unavailable("plan", err)
	}
	return plan, nil
}

// Now is the time by Config.Now.
func (m *Manager) Now() time.Time { return m.now() }

// List lists keys of one owner, or with q.AllOwners of all: for operators'
// tools. Errors: [ErrInvalid], [ErrOwner], [*UnavailableError], [ErrClosed].
func (m *Manager) List(ctx context.Context, q Query) (Page, error) {
	if m.closed.Load() {
		return Page{}, ErrClosed
	}
	if !q.AllOwners && !validOwner(q.Owner) {
		return Page{}, ErrOwner
	}
	if err := q.check(m.nowMicro()); err != nil {
		return Page{}, err
	}
	var page Page
	err := m.read(ctx, func(ctx context.Context) (err error) {
		page, err = m.primary.List(ctx, q)
		return err
	})
	return page, err
}

// SecretState is one token of a key, and whether it is still good as far as the
// token itself goes; the key's own state is beside it.
type SecretState struct {
	N    uint32 // which of the key's secrets: [Secret].N
	Live bool   // false: a newer one took its place and its grace is over; two rotations later it is forgotten
}

// String is "live" or "rotated".
func (s SecretState) String() string {
	if s.Live {
		return "live"
	}
	return "rotated"
}

// Lookup says whose token this is, for reports of leaks: the key, which of its
// tokens it is, and whether that one still stands. It counts nothing and takes
// from no limit. Errors: [ErrNotFound], if it is none of ours;
// [*UnavailableError], if that cannot be said; [ErrClosed].
func (m *Manager) Lookup(ctx context.Context, token string) (*Key, SecretState, error) {
	if m.closed.Load() {
		return nil, SecretState{}, ErrClosed
	}
	ref, f, err := m.reference(token)
	if err != nil {
		return nil, SecretState{}, err
	}
	if ref == "" {
		return nil, SecretState{}, ErrNotFound
	}
	rec, err := m.get(ctx, ref)
	if err != nil {
		return nil, SecretState{}, err
	}
	var v vitals
	rec.vitals(&v)
	secret, err := m.prove(&v, token, f)
	switch {
	case err != nil:
		return nil, SecretState{}, err
	case secret < 0:
		return nil, SecretState{}, ErrNotFound
	}
	found := &v.secrets[secret]
	return rec.Key(), SecretState{N: found.n, Live: found.live(m.now().UnixMicro())}, nil
}

// get reads a record from the primary, by ID or alias. Its errors are
// ErrNotFound and *UnavailableError.
func (m *Manager) get(ctx context.Context, ref string) (rec *Record, err error) {
	err = m.read(ctx, func(ctx context.Context) error {
		rec, err = m.primary.Get(ctx, ref)
		if err == nil && (rec == nil || !rec.is(ref)) {
			return errors.New("it answered with no record, or another key's")
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return rec, nil
}

// read calls the primary to read, within StoreTimeout. Its errors are what the
// contract of [Store] gives a meaning, the caller's own, and *UnavailableError.
func (m *Manager) read(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, m.cfg.StoreTimeout)
	defer cancel()
	err := m.protect(func() error { return f(ctx) })
	switch {
	case err == nil, errors.Is(err, ErrInvalid), errors.Is(err, ErrUnsupported):
		return err
	case errors.Is(err, ErrNotFound):
		return ErrNotFound
	}
	return unavailable("store", err)
}

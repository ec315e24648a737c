package apikey

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Actor is who is managing keys, and the most that what they make may hold.
// The zero Actor holds nothing.
type Actor struct {
	ID      string      // for the history; up to 255 bytes
	Ceiling Permissions // every key they make, change, enable or rotate must be covered by it; not normalised

	operator bool
}

// Operator is the host itself or its staff: no ceiling, and it may import, hold
// and release keys and set limits and metadata.
func Operator(id string) Actor { return Actor{ID: id, operator: true} }

// IsOperator reports whether the Actor was made by [Operator].
func (a Actor) IsOperator() bool { return a.operator }

// covers reports whether a may handle a key that holds these permissions.
func (a Actor) covers(p Permissions) bool { return a.operator || a.Ceiling.Covers(p) }

// Keyring is all keys of one owner as one actor may handle them. It is the
// only way to manage keys, so no call can reach another owner's: of those it
// says what it says of unknown ones, [ErrNotFound]. It is safe for concurrent
// use and costs nothing to make.
//
// Beside the errors each method names, all return [ErrOwner] if the owner is no
// owner, [ErrInvalid] for input out of bounds, [ErrForbidden] if the actor may
// not, [*UnavailableError] if the store or the plan failed and nothing was
// changed, [*OutcomeUnknownError] if a write failed and nobody can say whether
// it happened, [ErrClosed], and the context's own error if that had ended before
// anything was asked.
type Keyring struct {
	m     *Manager
	owner string
	by    Actor
}

// Keyring is the owner's keys as this actor may handle them. The owner is 1 to
// 255 bytes of UTF-8 without controls; of anything else every method returns
// [ErrOwner].
func (m *Manager) Keyring(owner string, by Actor) *Keyring {
	by.Ceiling = slices.Clone(by.Ceiling)
	return &Keyring{m: m, owner: owner, by: by}
}

// begin is what every method checks first.
func (r *Keyring) begin(ctx context.Context) error {
	switch {
	case r.m.closed.Load():
		return ErrClosed
	case !validOwner(r.owner):
		return ErrOwner
	case len(r.by.ID) > 255 || !printable(r.by.ID, false):
		return &InvalidError{Fields: []FieldError{{"Actor.ID", "must be at most 255 bytes of UTF-8 without control characters"}}}
	}
	return ctx.Err()
}

// beginAsOperator is begin for what only an operator does.
func (r *Keyring) beginAsOperator(ctx context.Context, does string) error {
	if err := r.begin(ctx); err != nil {
		return err
	}
	if !r.by.operator {
		return fmt.Errorf("%w: only an operator %s", ErrForbidden, does)
	}
	return nil
}

// Get is one key, with its usage as far as it was flushed. [ErrNotFound].
func (r *Keyring) Get(ctx context.Context, id string) (*Key, error) {
	if err := r.begin(ctx); err != nil {
		return nil, err
	}
	if !validID(id) {
		return nil, ErrNotFound
	}
	q := Query{IDs: []string{id}, Limit: 1}
	for {
		page, err := r.List(ctx, q)
		if err != nil {
			return nil, err
		}
		if len(page.Keys) > 0 {
			return page.Keys[0], nil
		}
		if page.Next == "" {
			return nil, ErrNotFound
		}
		q.After = page.Next
	}
}

// List is the owner's keys that q matches, newest first, with their usage as
// far as it was flushed. q.Owner and q.AllOwners are set for the caller.
func (r *Keyring) List(ctx context.Context, q Query) (Page, error) {
	if err := r.begin(ctx); err != nil {
		return Page{}, err
	}
	q.Owner, q.AllOwners = r.owner, false
	return r.m.List(ctx, q)
}

// Usage is a key's use by the hour, oldest first. [ErrNotFound];
// [ErrUnsupported] if the Store keeps no hours.
func (r *Keyring) Usage(ctx context.Context, id string, q UsageQuery) ([]UsagePoint, error) {
	if _, err := r.record(ctx, id); err != nil {
		return nil, err
	}
	reader, ok := r.m.primary.(UsageReader)
	if !ok {
		return nil, ErrUnsupported
	}
	var points []UsagePoint
	err := r.m.read(ctx, func(ctx context.Context) (err error) {
		points, err = reader.Usage(ctx, id, q)
		return err
	})
	return points, err
}

// History is what was done to the owner's keys, newest first, also to those
// deleted since. q.Owner and q.AllOwners are set for the caller.
// [ErrUnsupported] if the Store keeps no history.
func (r *Keyring) History(ctx context.Context, q HistoryQuery) (HistoryPage, error) {
	if err := r.begin(ctx); err != nil {
		return HistoryPage{}, err
	}
	q.Owner, q.AllOwners = r.owner, false
	return r.m.History(ctx, q)
}

// History is what was done to the keys of one owner, or with q.AllOwners of
// all: for operators' tools. Errors as of [Manager.List], and [ErrUnsupported]
// if the Store keeps no history.
func (m *Manager) History(ctx context.Context, q HistoryQuery) (HistoryPage, error) {
	if m.closed.Load() {
		return HistoryPage{}, ErrClosed
	}
	if !q.AllOwners && !validOwner(q.Owner) {
		return HistoryPage{}, ErrOwner
	}
	if err := q.check(); err != nil {
		return HistoryPage{}, err
	}
	historian, ok := m.primary.(Historian)
	if !ok {
		return HistoryPage{}, ErrUnsupported
	}
	var page HistoryPage
	err := m.read(ctx, func(ctx context.Context) (err error) {
		page, err = historian.History(ctx, q)
		return err
	})
	return page, err
}

// record reads one of the owner's keys from the primary.
func (r *Keyring) record(ctx context.Context, id string) (*Record, error) {
	if err := r.begin(ctx); err != nil {
		return nil, err
	}
	if !validID(id) {
		return nil, ErrNotFound
	}
	rec, err := r.m.get(ctx, id)
	if err != nil {
		return nil, err
	}
	if rec.Owner() != r.owner {
		return nil, ErrNotFound
	}
	return rec, nil
}

// Create issues a new key. [*PlanError] if the owner's plan refuses keys,
// [ErrKeyQuota] if it has as many live ones as the plan allows.
//
// When the outcome is not known the key may exist, with a token that nobody
// has: the [*OutcomeUnknownError] names it, so that it can be revoked.
func (r *Keyring) Create(ctx context.Context, p KeyParams) (*Issued, error) {
	if err := r.begin(ctx); err != nil {
		return nil, err
	}
	now := r.m.nowMicro()
	var f faults
	format := r.m.formatFor(&f, p.Prefix, p.Environment)
	key := p.key(r, &f, now, now)
	if err := f.err(); err != nil {
		return nil, err
	}
	if err := r.mayMake(key, p); err != nil {
		return nil, err
	}
	quota, err := r.quota(ctx)
	if err != nil {
		return nil, err
	}
	key.Environment = format.Environment
	for range createTries {
		token, id := format.issue("")
		key.ID = id
		key.Secrets = []Secret{{N: 1, Prefix: format.Prefix, CreatedAt: now}}
		err := r.insert(ctx, key, r.m.hasher.digest(token.Reveal()), "create", now, quota)
		if errors.Is(err, ErrExists) {
			continue // by chance, with a Format of few ID characters
		}
		if err != nil {
			return nil, err
		}
		return &Issued{Key: key, Token: token}, nil
	}
	return nil, unavailable("store", fmt.Errorf("%d IDs in a row were taken; give the Format a longer IDLen", createTries))
}

// createTries is how many random IDs are tried. With half of all IDs taken,
// the chance that all of them are is 2⁻¹⁶.
const createTries = 16

// mayMake reports whether the actor may make this key.
func (r *Keyring) mayMake(key *Key, p KeyParams) error {
	if !r.by.operator && (len(p.Limits) > 0 || len(p.Metadata) > 0) {
		return fmt.Errorf("%w: only an operator sets limits and metadata", ErrForbidden)
	}
	if !r.by.covers(key.Permissions) {
		return errCeiling
	}
	return nil
}

var errCeiling = fmt.Errorf("%w: the key may do more than the actor's Ceiling covers", ErrForbidden)

// quota asks the owner's plan, afresh, how many keys there may be beside a new
// one.
func (r *Keyring) quota(ctx context.Context) (int, error) {
	plan, err := r.m.Plan(ctx, r.owner)
	if err != nil {
		return 0, err
	}
	if plan.Refusal != "" {
		return 0, &PlanError{Refusal: plan.Refusal}
	}
	return plan.MaxKeys, nil
}

// insert stores a new key and its history entry.
func (r *Keyring) insert(ctx context.Context, key *Key, digest Digest, action string, now time.Time, quota int) error {
	rec, err := NewRecord(key, digest)
	if err != nil {
		return err
	}
	w := Write{Change: r.change(action, now, &Key{}, key), MaxKeys: quota}
	err = r.write(ctx, key.ID, func(ctx context.Context) error { return r.m.primary.Create(ctx, rec, w) })
	if err == nil {
		r.changed(ctx, &w.Change)
	}
	return err
}

// write calls the primary to write, and says what its failure means.
func (r *Keyring) write(ctx context.Context, id string, f func(context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return err // nothing was tried
	}
	ctx, cancel := context.WithTimeout(ctx, r.m.cfg.StoreTimeout)
	defer cancel()
	err := r.m.protect(func() error { return f(ctx) })
	var unknown *OutcomeUnknownError
	if err == nil || errors.As(err, &unknown) {
		return err
	}
	for _, known := range []error{ErrExists, ErrConflict, ErrKeyQuota, ErrNotFound} {
		if errors.Is(err, known) { // also where the Store says besides that it wrote nothing, which is so
			return known
		}
	}
	if errors.Is(err, ErrNotApplied) {
		return unavailable("store", err)
	}
	return &OutcomeUnknownError{KeyID: id, Err: err}
}

// changed tells the host of a change that was stored.
func (r *Keyring) changed(ctx context.Context, c *Change) {
	r.m.emit(ctx, Event{Kind: EventChanged, At: c.At, KeyID: c.KeyID, Owner: c.Owner, Change: c})
}

// An edit changes d, read at now, or says why not. It is called again, on
// what is there then, when somebody else was faster. Reporting false leaves the
// key as it is.
type edit func(d *document, now time.Time) (changed bool, err error)

// ceiling says who may do an edit.
type ceiling bool

const (
	anyActor    ceiling = false // disable and revoke: what stops a key
	withCeiling ceiling = true  // all else
)

// modify reads the key, edits it and stores it if nobody was faster, until it
// is done. It returns the key as it is then.
func (r *Keyring) modify(ctx context.Context, id, action string, need ceiling, f edit) (*Key, error) {
	for try := range modifyTries {
		if try > 8 {
			if err := pause(ctx, try); err != nil {
				return nil, err
			}
		}
		key, err := r.tryModify(ctx, id, action, need, f)
		if !errors.Is(err, ErrConflict) {
			return key, err
		}
	}
	return nil, ErrConflict
}

// modifyTries ends what only a store that never lets anybody win would keep
// going: each conflict means that somebody else's change was stored.
const modifyTries = 1000

// pause waits a moment, longer with every try up to 4 ms, so that many writers
// of one key come apart.
func pause(ctx context.Context, try int) error {
	t := time.NewTimer(rand.N(time.Duration(min(try, 40)) * 100 * time.Microsecond)) //nolint:gosec // nothing to guess in how long a loser waits
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *Keyring) tryModify(ctx context.Context, id, action string, need ceiling, f edit) (*Key, error) {
	rec, err := r.record(ctx, id)
	if err != nil {
		return nil, err
	}
	now := r.m.nowMicro()
	before := rec.Key()
	d := rec.decode()
	changed, err := f(&d, now)
	switch {
	case err != nil:
		return nil, err
	case need == withCeiling && !(r.by.covers(before.Permissions) && r.by.covers(d.key.Permissions)):
		return nil, errCeiling
	case !changed:
		return before, nil
	}
	next, err := d.next()
	if err != nil {
		return nil, err
	}
	after := &d.key
	w := Write{Change: r.change(action, now, before, after), MaxKeys: NoCap}
	if r.revives(before, after, now) {
		if w.MaxKeys, err = r.quota(ctx); err != nil {
			return nil, err
		}
	}
	err = r.write(ctx, id, func(ctx context.Context) error { return r.m.primary.Update(ctx, next, w) })
	if err != nil {
		return nil, err
	}
	r.changed(ctx, &w.Change)
	return after, nil
}

// revives reports whether the change may make one more live key: also if the
// key expires before the change is stored, when another may have its place.
func (r *Keyring) revives(before, after *Key, now time.Time) bool {
	return !before.Live(now.Add(r.m.cfg.StoreTimeout)) && after.Live(now) && !after.ExpiresAt.Equal(before.ExpiresAt)
}

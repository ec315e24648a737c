package apikey

import (
	"context"
	"time"
)

// Store keeps records, their usage and, where it can, their history. Package
// memstore is one in memory; any database can be one. Package apikeytest has
// the suite that each must pass.
//
// For every method:
//
//   - IDs, aliases and owners compare byte by byte: "aB" is not "Ab", "é" in
//     one form not "é" in another, "x" not "x ".
//   - Times come from the caller, in whole microseconds, UTC. A Store has no
//     clock of its own.
//   - Methods are safe for concurrent use. Records given and returned are
//     immutable and may be shared; other arguments are the caller's again when
//     the call returns, and what is returned is the caller's.
//   - A call whose ctx has ended returns soon, with an error that is the ctx's
//     to [errors.Is]. It does not use ctx after it returned. A write that was
//     cancelled either happened in full or not at all.
//   - The sentinels below may be wrapped. Any other error is a failure of the
//     infrastructure. One of a write leaves its outcome unknown, unless it is
//     [ErrNotApplied].
//   - What was acknowledged stays, on a Store that keeps anything, through a
//     kill -9 of the process and of the database.
//   - An ID that no key has, and a malformed one, are both ErrNotFound.
type Store interface {
	// Create stores a new record, whose Version is 1, and w.Change with it, in
	// one transaction. ErrExists: its ID or alias is taken, or was taken by a
	// key since deleted; IDs and aliases are one name space. ErrKeyQuota:
	// w.MaxKeys is 0 or more and at least that many keys of the owner are live
	// at w.At ([Key.Live]). Counting and inserting are atomic: however many
	// Creates run at once, the cap holds.
	Create(ctx context.Context, rec *Record, w Write) error

	// Get returns the record with this ID or alias; ErrNotFound if there is
	// none. It is as fresh as the last acknowledged write: it reads the
	// primary, not a replica. It never returns nil and no error. ref may be part
	// of a request's header: a Store that keeps it keeps a clone.
	Get(ctx context.Context, ref string) (*Record, error)

	// Update replaces the record of the same ID, and stores w.Change with it,
	// in one transaction, if the stored Version is rec's less one; else
	// ErrConflict. ErrNotFound if there is none. ErrKeyQuota as in Create,
	// counting the owner's other keys. ID, Alias, Owner and CreatedAt of rec
	// are as stored. Usage is never touched.
	Update(ctx context.Context, rec *Record, w Write) error

	// List returns the keys that q matches, usage filled in, newest first: by
	// CreatedAt, then by ID, both descending. [Query.Match] is the meaning of
	// the filters. q.Limit is at least 1. It goes on after the position in
	// q.After ([Query.Position]); a page may be short or empty with Next set.
	// Next is "" at the end, else [Query.CursorAt] the last key looked at. A
	// key that is there all the while is listed exactly once, whatever is
	// inserted or deleted meanwhile. Secrets' digests are not in a Page.
	List(ctx context.Context, q Query) (Page, error)

	// AddUsage adds b to what is stored beside the records. It is called again
	// with the same batch until it succeeds, also after it was partly applied,
	// so that a key's entries are added once for each (b.Node, b.Seq): a Seq
	// not above the last one applied for this node and key is skipped. Entries
	// of keys that do not exist are skipped. A time that is earlier than the
	// stored one does not replace it. A LastRefusal comes back as it was, its
	// Peer with zone and 4-in-6 form. Usage never changes a record's Version.
	AddUsage(ctx context.Context, b UsageBatch) error

	// Delete removes record and usage, and stores w.Change, in one
	// transaction. The ID and the alias stay taken and history stays.
	// ErrNotFound if there is none, also the second time, and for an alias.
	Delete(ctx context.Context, id string, w Write) error
}

// NonBlocking is what a [Store] has that answers Get from this process's
// memory and never waits: verification then hands it the request's context as
// it is, without Config.StoreTimeout, which saves an allocation.
type NonBlocking interface {
	NonBlocking()
}

// UsageReader is what a [Store] has that keeps usage by the hour, for 90 days
// or as long as it is set to.
type UsageReader interface {
	// Usage returns the hours of q in which anything happened, oldest first;
	// none for an unknown key.
	Usage(ctx context.Context, id string, q UsageQuery) ([]UsagePoint, error)
}

// Historian is what a [Store] has that gives back the Changes that were
// written.
type Historian interface {
	// History returns changes, newest first, in the order in which they were
	// stored. A page may be short or empty with Next set.
	History(ctx context.Context, q HistoryQuery) (HistoryPage, error)
}

// Watcher is what a [Store] has that tells of changes, made by any node. It is
// best effort and only ever shortens how long a cache is stale.
type Watcher interface {
	// Watch blocks until ctx ends or watching fails, and returns why. It calls
	// changed, one call at a time, with the IDs and aliases of records that
	// were created, updated or deleted; with nil, meaning "forget all", once
	// it is established and after each gap. A changed that is slow, or calls
	// Get, holds up no write.
	Watch(ctx context.Context, changed func(refs []string)) error
}

// Unwrapper is what a [Store] has that caches another. A [Keyring] reads and
// writes through what it returns; only verification uses the cache. A write
// through it must make the cache forget the key before it returns, or this very
// node would go on admitting a key that it revoked.
type Unwrapper interface {
	Unwrap() Store
}

// Write goes with every write of a record.
type Write struct {
	Change
	MaxKeys int // refuse if that many other keys of the owner are live at At; -1: do not count
}

// Change is an entry of the audit history. It is stored in the transaction of
// the write that it tells of.
type Change struct {
	At     time.Time     `json:"at"`
	Actor  string        `json:"actor"`  // Actor.ID; "": this package itself
	Action string        `json:"action"` // a verb of Keyring: "create", "update", "rotate", "end-rotation", …; or "rehash"
	KeyID  string        `json:"key_id"`
	Owner  string        `json:"owner"`
	Fields []FieldChange `json:"fields,omitempty"`
}

// FieldChange is one field of a key before and after. Never a secret.
type FieldChange struct {
	Name string `json:"name"`
	Old  string `json:"old"`
	New  string `json:"new"`
}

// UsageBatch is what one node counted. A node has one batch in flight.
type UsageBatch struct {
	Node    string       // of one Manager's life: random, 22 characters
	Seq     int64        // 1, 2, …
	Entries []UsageEntry // at most 500, sorted by KeyID, Secret and Hour, no such triple twice
}

// UsageEntry is what one secret of a key was used for within one hour.
type UsageEntry struct {
	KeyID       string
	Secret      uint32
	Hour        time.Time // the start of the hour, UTC
	LastUsed    time.Time // zero: no request was admitted
	Requests    int64
	Limited     int64
	Denied      int64
	LastRefusal Refusal // At zero: none
}

// UsageQuery asks for the hours from From up to, not including, To.
type UsageQuery struct {
	From, To time.Time // zero From: from the first hour kept; zero To: to the last
}

// UsagePoint is what a key was used for within one hour.
type UsagePoint struct {
	Hour     time.Time `json:"at"`
	Requests int64     `json:"requests"`
	Limited  int64     `json:"limited"`
	Denied   int64     `json:"denied"`
}

// Package boltstore is a durable [apikey.Store] in one file, on bbolt: short
// and to be read, see docs/store.md. It passes apikeytest.RunStore, and what it
// acknowledged survives a kill -9.
//
// bbolt has one writer at a time, and waits for the disk at each commit: that
// makes every promise of a Store simple to keep, and some hundred writes a
// second the most that it does. One process at a time may have the file open.
package boltstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-apikey/apikey"
	"go.etcd.io/bbolt"
)

// The buckets. A record stands in one place; the others are there to find it by.
var (
	records = []byte("records") // ID → the record's bytes
	names   = []byte("names")   // ID or alias, of every key that there ever was → ID
	byAge   = []byte("age")     // creation and ID →
	byOwner = []byte("owner")   // owner, creation and ID →
	usages  = []byte("usage")   // ID → row
	changes = []byte("changes") // 1, 2, … → change
)

// row is what is kept beside a record of what its key was used for.
type row struct {
	apikey.Usage
	Seqs map[string]int64 // the last UsageBatch.Seq added, by Node
}

// Store keeps keys in a file. Make one with [Open].
type Store struct {
	db      *bbolt.DB
	writing chan struct{} // holds a token while a transaction writes
}

var _ apikey.Store = (*Store)(nil)

// Open opens the file, or makes it, readable by its owner alone.
func Open(path string) (*Store, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second}) // for which another process may still have it
	if err != nil {
		return nil, fmt.Errorf("apikey: boltstore: %w", err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{records, names, byAge, byOwner, usages, changes} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("apikey: boltstore: %w", err), db.Close())
	}
	return &Store{db: db, writing: make(chan struct{}, 1)}, nil
}

// Close waits for what runs and closes the file.
func (s *Store) Close() error { return s.db.Close() }

// write runs f in a transaction. Up to the commit nothing is on the disk, and
// the error says so; how far a commit that failed came, nobody knows.
func (s *Store) write(ctx context.Context, f func(tx *bbolt.Tx) error) error {
	select {
	case s.writing <- struct{}{}:
		defer func() { <-s.writing }()
	case <-ctx.Done(): // bbolt would go on waiting
	}
	if err := ctx.Err(); err != nil {
		return notApplied(err)
	}
	tx, err := s.db.Begin(true)
	if err != nil {
		return notApplied(err)
	}
	defer func() { _ = tx.Rollback() }() // nothing is left to roll back after a commit
	if err := f(tx); err != nil {
		return notApplied(err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("apikey: boltstore: commit: %w", err)
	}
	return nil
}

// notApplied is err, which is of before the commit. What the contract gives a
// meaning says by itself that nothing was written.
func notApplied(err error) error {
	for _, known := range []error{apikey.ErrExists, apikey.ErrNotFound, apikey.ErrConflict, apikey.ErrKeyQuota} {
		if errors.Is(err, known) {
			return err
		}
	}
	return fmt.Errorf("%w: boltstore: %w", apikey.ErrNotApplied, err)
}

// read runs f on what was last committed.
func (s *Store) read(ctx context.Context, f func(tx *bbolt.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.db.View(f)
}

// Create stores a new record, if its names are free and the cap allows it.
func (s *Store) Create(ctx context.Context, rec *apikey.Record, w apikey.Write) error {
	return s.write(ctx, func(tx *bbolt.Tx) error {
		id := []byte(rec.ID())
		for _, name := range []string{rec.ID(), rec.Alias()} {
			if name == "" {
				continue // it has no alias
			}
			if tx.Bucket(names).Get([]byte(name)) != nil {
				return apikey.ErrExists
			}
			if err := tx.Bucket(names).Put([]byte(name), id); err != nil {
				return err
			}
		}
		if err := checkCap(tx, rec, &w); err != nil {
			return err // and the names are free again
		}
		age := ageKey(rec.CreatedAt(), rec.ID())
		return errors.Join(
			tx.Bucket(records).Put(id, rec.Bytes()),
			tx.Bucket(byAge).Put(age, nil),
			tx.Bucket(byOwner).Put(append(ownerKey(rec.Owner()), age...), nil),
			record(tx, w.Change),
		)
	})
}

// ageKey sorts as keys do by age: the time in microseconds, its sign turned so
// that what is before 1970 comes first, and the ID.
func ageKey(created time.Time, id string) []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(created.UnixMicro())^1<<63), id...)
}

// ownerKey begins with a length, so that it is no prefix of another owner's.
func ownerKey(owner string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(owner))), owner...)
}

// checkCap counts the owner's live keys beside rec. Nobody else writes meanwhile.
func checkCap(tx *bbolt.Tx, rec *apikey.Record, w *apikey.Write) error {
	if w.MaxKeys < 0 {
		return nil
	}
	others, prefix := 0, ownerKey(rec.Owner())
	c := tx.Bucket(byOwner).Cursor()
	for k, _ := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, _ = c.Next() {
		id := k[len(prefix)+8:]
		other, err := load(tx, id)
		if err != nil {
			return err
		}
		if string(id) != rec.ID() && other.Live(w.At) {
			others++
		}
	}
	if others >= w.MaxKeys {
		return apikey.ErrKeyQuota
	}
	return nil
}

func load(tx *bbolt.Tx, id []byte) (*apikey.Record, error) {
	b := tx.Bucket(records).Get(id)
	if b == nil {
		return nil, apikey.ErrNotFound
	}
	return apikey.ParseRecord(b)
}

// record keeps the entry of a write, in its transaction.
func record(tx *bbolt.Tx, c apikey.Change) error {
	b := tx.Bucket(changes)
	n, err := b.NextSequence()
	if err != nil {
		return err
	}
	return put(b, binary.BigEndian.AppendUint64(nil, n), c)
}

func put(b *bbolt.Bucket, key []byte, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return b.Put(key, data)
}

// Get finds a record by its ID or alias. Those of a deleted key lead nowhere.
func (s *Store) Get(ctx context.Context, ref string) (rec *apikey.Record, err error) {
	err = s.read(ctx, func(tx *bbolt.Tx) error {
		id := tx.Bucket(names).Get([]byte(ref))
		if id == nil {
			return apikey.ErrNotFound
		}
		rec, err = load(tx, id)
		return err
	})
	return rec, err
}

// Update replaces a record by its next version, and by no other.
func (s *Store) Update(ctx context.Context, rec *apikey.Record, w apikey.Write) error {
	return s.write(ctx, func(tx *bbolt.Tx) error {
		old, err := load(tx, []byte(rec.ID()))
		if err != nil {
			return err
		}
		if old.Version() != rec.Version()-1 {
			return apikey.ErrConflict
		}
		if err := checkCap(tx, rec, &w); err != nil {
			return err
		}
		return errors.Join(tx.Bucket(records).Put([]byte(rec.ID()), rec.Bytes()), record(tx, w.Change))
	})
}

// Delete removes a key and its usage. Its names stay taken.
func (s *Store) Delete(ctx context.Context, id string, w apikey.Write) error {
	return s.write(ctx, func(tx *bbolt.Tx) error {
		rec, err := load(tx, []byte(id))
		if err != nil {
			return err
		}
		age := ageKey(rec.CreatedAt(), id)
		return errors.Join(
			tx.Bucket(records).Delete([]byte(id)),
			tx.Bucket(byAge).Delete(age),
			tx.Bucket(byOwner).Delete(append(ownerKey(rec.Owner()), age...)),
			tx.Bucket(usages).Delete([]byte(id)),
			record(tx, w.Change),
		)
	})
}

// mostRows are looked at for one page, so that no read holds on to an old state
// of the file for long: bbolt cannot reuse its space meanwhile.
const mostRows = 2000

// List goes back through the keys by age, from the position of q.
func (s *Store) List(ctx context.Context, q apikey.Query) (page apikey.Page, err error) {
	created, id, err := q.Position()
	if err != nil {
		return apikey.Page{}, err
	}
	bucket, prefix := byAge, []byte(nil)
	if !q.AllOwners {
		bucket, prefix = byOwner, ownerKey(q.Owner)
	}
	end := append(slices.Clone(prefix), bytes.Repeat([]byte{0xff}, 9)...) // after every age
	if q.After != "" {
		end = append(slices.Clone(prefix), ageKey(created, id)...)
	}
	err = s.read(ctx, func(tx *bbolt.Tx) error {
		c := tx.Bucket(bucket).Cursor()
		rows := 0
		for k, _ := before(c, end); k != nil && bytes.HasPrefix(k, prefix); k, _ = c.Prev() {
			if rows++; rows > mostRows || len(page.Keys) == q.Limit {
				page.Next = q.CursorAt(created, id)
				break
			}
			key, err := loadKey(tx, k[len(prefix)+8:])
			if err != nil {
				return err
			}
			if q.Match(key) {
				page.Keys = append(page.Keys, key)
			}
			created, id = key.CreatedAt, key.ID
		}
		return ctx.Err()
	})
	return page, err
}

// before goes to the last key of a bucket that sorts before end.
func before(c *bbolt.Cursor, end []byte) (key, value []byte) {
	if k, _ := c.Seek(end); k == nil {
		return c.Last()
	}
	return c.Prev()
}

// loadKey reads a key with its usage.
func loadKey(tx *bbolt.Tx, id []byte) (*apikey.Key, error) {
	rec, err := load(tx, id)
	if err != nil {
		return nil, err
	}
	r, err := loadRow(tx, id)
	if err != nil {
		return nil, err
	}
	k := rec.Key()
	k.Usage = r.Usage
	return k, nil
}

func loadRow(tx *bbolt.Tx, id []byte) (*row, error) {
	r := &row{Seqs: make(map[string]int64)}
	data := tx.Bucket(usages).Get(id)
	if data == nil {
		return r, nil
	}
	return r, json.Unmarshal(data, r)
}

// AddUsage adds the entries of those keys that have not had this batch yet.
func (s *Store) AddUsage(ctx context.Context, b apikey.UsageBatch) error {
	return s.write(ctx, func(tx *bbolt.Tx) (err error) {
		rows := make(map[string]*row)
		for i := range b.Entries {
			e := &b.Entries[i]
			if rows[e.KeyID] == nil {
				if rows[e.KeyID], err = loadRow(tx, []byte(e.KeyID)); err != nil {
					return err
				}
			}
			rows[e.KeyID].add(e)
		}
		for id, r := range rows {
			if tx.Bucket(records).Get([]byte(id)) == nil || r.Seqs[b.Node] >= b.Seq {
				continue // what was added is let go
			}
			r.Seqs[b.Node] = b.Seq
			if err := put(tx.Bucket(usages), []byte(id), r); err != nil {
				return err
			}
		}
		return nil
	})
}

// add adds one entry. A time never goes back.
func (r *row) add(e *apikey.UsageEntry) {
	u := &r.Usage
	u.Requests += e.Requests
	u.Limited += e.Limited
	u.Denied += e.Denied
	if e.LastUsed.After(u.LastUsed[e.Secret]) {
		if u.LastUsed == nil {
			u.LastUsed = make(map[uint32]time.Time)
		}
		u.LastUsed[e.Secret] = e.LastUsed
	}
	if e.LastUsed.After(u.LastUsedAt) {
		u.LastUsedAt = e.LastUsed
	}
	if e.LastRefusal.At.After(u.LastRefusal.At) {
		u.LastRefusal = e.LastRefusal
	}
}

// History is the changes that q asks for, newest first.
func (s *Store) History(ctx context.Context, q apikey.HistoryQuery) (page apikey.HistoryPage, err error) {
	n, err := q.Position()
	if err != nil {
		return apikey.HistoryPage{}, err
	}
	end := bytes.Repeat([]byte{0xff}, 8)
	if q.After != "" {
		end = binary.BigEndian.AppendUint64(nil, uint64(n))
	}
	err = s.read(ctx, func(tx *bbolt.Tx) error {
		cursor := tx.Bucket(changes).Cursor()
		rows := 0
		for k, v := before(cursor, end); k != nil; k, v = cursor.Prev() {
			if rows++; rows > mostRows || len(page.Changes) == q.Limit {
				page.Next = q.CursorAt(n)
				break
			}
			n = int64(binary.BigEndian.Uint64(k))
			var c apikey.Change
			if err := json.Unmarshal(v, &c); err != nil {
				return err
			}
			if (q.AllOwners || c.Owner == q.Owner) && (q.KeyID == "" || c.KeyID == q.KeyID) {
				page.Changes = append(page.Changes, c)
			}
		}
		return ctx.Err()
	})
	return page, err
}

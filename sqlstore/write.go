package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-apikey/apikey"
)

// Create is as [apikey.Store] says.
func (s *Store) Create(ctx context.Context, rec *apikey.Record, w apikey.Write) error {
	a, err := s.row(rec, &w)
	if err != nil {
		return err
	}
	return s.write(ctx, func(x *session) error {
		if err := x.lockOwner(ctx, a, w.MaxKeys); err != nil {
			return err
		}
		if s.sql.create != nil {
			return x.createAtOnce(ctx, a)
		}
		named, err := x.exec(ctx, s.sql.takeNames, a)
		if s.dialect.duplicate(err) {
			return apikey.ErrExists
		}
		if err != nil {
			return err
		}
		if named != a["names"] {
			return apikey.ErrExists
		}
		made, err := x.exec(ctx, s.sql.insertKey, a)
		if err != nil {
			return err
		}
		if made == 0 {
			return apikey.ErrKeyQuota
		}
		_, err = x.exec(ctx, s.sql.insertHistory, a)
		return err
	})
}

func (x *session) createAtOnce(ctx context.Context, a args) error {
	var named, made int64
	var notified sql.NullString
	if err := x.row(ctx, x.store.sql.create, a).Scan(&named, &made, &notified); err != nil {
		return err
	}
	switch {
	case named != a["names"]:
		return apikey.ErrExists
	case made == 0:
		return apikey.ErrKeyQuota
	}
	return nil
}

// lockOwner makes writes that count the owner's keys wait for one another. It
// is the first statement of its transaction, so that the next one sees what
// those before it committed.
func (x *session) lockOwner(ctx context.Context, a args, maxKeys int) error {
	st := x.store.sql.lockOwner
	if maxKeys < 0 || st == nil {
		return nil
	}
	if x.store.dialect != PostgreSQL {
		_, err := x.exec(ctx, st, a)
		return err
	}
	var committed int
	if err := x.row(ctx, st, a).Scan(&committed); err != nil {
		return err
	}
	if committed == 0 {
		return errors.New("the transaction of WithTx must be at READ COMMITTED: at another level the owner's keys cannot be counted")
	}
	return nil
}

// Update is as [apikey.Store] says. A record whose Alias, Owner or CreatedAt
// is not as stored is [apikey.ErrInvalid], and changes nothing.
func (s *Store) Update(ctx context.Context, rec *apikey.Record, w apikey.Write) error {
	a, err := s.row(rec, &w)
	if err != nil {
		return err
	}
	return s.write(ctx, func(x *session) error {
		if err := x.lockOwner(ctx, a, w.MaxKeys); err != nil {
			return err
		}
		made, err := x.update(ctx, a, w.MaxKeys)
		if err != nil || made {
			return err
		}
		return x.whyNot(ctx, rec, a)
	})
}

// update reports whether it replaced the record.
func (x *session) update(ctx context.Context, a args, maxKeys int) (bool, error) {
	st := x.store.sql
	if x.store.dialect == PostgreSQL {
		var made int64
		var notified sql.NullString
		err := x.row(ctx, st.update, a).Scan(&made, &notified)
		return made == 1, err
	}
	if maxKeys >= 0 {
		count := st.count
		if _, ok := x.on.(hostTx); ok {
			count = st.countNow
		}
		var live int64
		if err := x.row(ctx, count, a).Scan(&live); err != nil || live >= int64(maxKeys) {
			return false, err
		}
	}
	made, err := x.exec(ctx, st.update, a)
	if err != nil || made == 0 {
		return false, err
	}
	_, err = x.exec(ctx, st.insertHistory, a)
	return true, err
}

// whyNot says why a record was not replaced.
func (x *session) whyNot(ctx context.Context, rec *apikey.Record, a args) error {
	var version, created int64
	var owner, alias string
	err := x.row(ctx, x.store.sql.stored, a).Scan(&version, &owner, &created, &alias)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return apikey.ErrNotFound
	case err != nil:
		return err
	case version != rec.Version()-1:
		return apikey.ErrConflict
	case owner != a["owner"] || created != a["created"] || alias != a["alias"]:
		return fmt.Errorf("%w: alias, owner and creation time of a key never change", apikey.ErrInvalid)
	}
	return apikey.ErrKeyQuota
}

// Delete is as [apikey.Store] says.
func (s *Store) Delete(ctx context.Context, id string, w apikey.Write) error {
	if err := ctx.Err(); err != nil {
		return notApplied(ctx, err)
	}
	if !isID(id) {
		return apikey.ErrNotFound
	}
	entry, err := change(&w)
	if err != nil {
		return err
	}
	a := args{"id": id, "channel": s.channel()}
	return s.write(ctx, func(x *session) error {
		var version, created int64
		var owner, alias string
		err := x.row(ctx, s.sql.lockKey, a).Scan(&version, &owner, &created, &alias)
		if errors.Is(err, sql.ErrNoRows) {
			return apikey.ErrNotFound
		}
		if err != nil {
			return err
		}
		removed, err := x.exec(ctx, s.sql.remove, a)
		if err != nil {
			return err
		}
		if removed == 0 {
			return apikey.ErrNotFound
		}
		for _, st := range s.sql.removeAll {
			if _, err := x.exec(ctx, st, a); err != nil {
				return err
			}
		}
		entry["alias"], entry["channel"] = alias, s.channel()
		_, err = x.exec(ctx, s.sql.insertHistory, entry)
		return err
	})
}

// channel is where writes notify; "": nowhere.
func (s *Store) channel() string {
	if s.cfg.Listen == nil {
		return ""
	}
	return s.cfg.TablePrefix + "changes"
}

// row is what is stored of a record and a write: the encoded record, and the
// columns by which it is found.
func (s *Store) row(rec *apikey.Record, w *apikey.Write) (args, error) {
	a, err := change(w)
	if err != nil {
		return nil, err
	}
	k := rec.Key()
	if !storable(k.Alias, 512) || !storable(k.Owner, 255) || !storable(k.Environment, 255) {
		return nil, fmt.Errorf("%w: %w: sqlstore: alias, owner and environment must be UTF-8 without NUL, of at most 512, 255 and 255 bytes",
			apikey.ErrNotApplied, apikey.ErrInvalid)
	}
	a["id"], a["alias"], a["owner"], a["environment"] = k.ID, k.Alias, k.Owner, k.Environment
	a["created"], a["version"], a["record"] = micro(k.CreatedAt), k.Version, rec.Bytes()
	a["revoked_at"], a["held_at"], a["disabled_at"] = micro(k.RevokedAt), micro(k.HeldAt), micro(k.DisabledAt)
	a["expires_at"], a["not_before"] = micro(k.ExpiresAt), micro(k.NotBefore)
	a["rotated_at"] = int64(0)
	if len(k.Secrets) > 0 {
		a["rotated_at"] = micro(k.Secrets[0].CreatedAt)
	}
	a["search"] = append([]byte(apikey.Fold(k.Name)+between), apikey.Fold(k.Description)...)
	a["names"] = int64(1)
	if k.Alias != "" && k.Alias != k.ID {
		a["names"] = int64(2)
	}
	a["at"], a["max"], a["most"] = w.At.UnixMicro(), int64(w.MaxKeys), int64(max(w.MaxKeys, 0))
	a["channel"] = s.channel()
	return a, nil
}

// between stands between name and description where they are searched: no byte
// of UTF-8, and so in no text that is looked for.
const between = "\xff"

// change is what is stored of the entry of the history.
func change(w *apikey.Write) (args, error) {
	c := w.Change
	c.At = c.At.UTC()
	entry, err := json.Marshal(&c)
	if err != nil {
		return nil, fmt.Errorf("%w: sqlstore: the change cannot be stored: %w", apikey.ErrNotApplied, err)
	}
	if !storable(c.Owner, 255) || !storable(c.KeyID, 32) {
		return nil, fmt.Errorf("%w: %w: sqlstore: owner and key of the change must be UTF-8 without NUL, of at most 255 and 32 bytes",
			apikey.ErrNotApplied, apikey.ErrInvalid)
	}
	return args{
		"change_owner": c.Owner, "change_key": c.KeyID, "change_at": c.At.UnixMicro(), "entry": string(entry), "alias": "",
	}, nil
}

// storable reports whether every one of the databases can hold s as text.
func storable(s string, most int) bool {
	return len(s) <= most && utf8.ValidString(s) && !strings.Contains(s, "\x00")
}

// isID reports whether s can be the ID of a key: 7 to 32 of base62.
func isID(s string) bool {
	if len(s) < 7 || len(s) > 32 {
		return false
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}

// micro is a time as it is stored; 0: none.
func micro(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicro(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// timeOf is a time of which there is always one, 1970 too.
func timeOf(us int64) time.Time { return time.UnixMicro(us).UTC() }

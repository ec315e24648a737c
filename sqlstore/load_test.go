package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/go-apikey/apikey"
)

// loadStep is how many keys one statement of Load makes: SQLite takes 32,766
// arguments.
const loadStep = 1000

// loadColumns are the columns of a key, and the arguments of insertKey that they
// are from.
var loadColumns = []struct{ column, arg string }{
	{"id", "id"},
	{"alias", "alias"},
	{"owner", "owner"},
	{"created_at", "created"},
	{"version", "version"},
	{"environment", "environment"},
	{"revoked_at", "revoked_at"},
	{"held_at", "held_at"},
	{"disabled_at", "disabled_at"},
	{"expires_at", "expires_at"},
	{"not_before", "not_before"},
	{"rotated_at", "rotated_at"},
	{"search", "search"},
	{"record", "record"},
}

// Load stores n keys, as Create would but for their history, many to a
// statement, in one transaction, and has the database look at what it has.
func (s *Store) Load(ctx context.Context, n int, key func(i int) (*apikey.Record, apikey.Write, error)) error {
	if err := s.ready(ctx, s.db); err != nil {
		return err
	}
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	for from := 0; from < n; from += loadStep {
		if err := s.loadSome(ctx, tx, from, min(from+loadStep, n), key); err != nil {
			return err
		}
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	return s.Analyze(ctx)
}

// LoadHistory stores n changes, many to a statement, in one transaction.
func (s *Store) LoadHistory(ctx context.Context, n int, entry func(i int) apikey.Change) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	for from := 0; from < n; from += loadStep {
		var values []any
		for i := from; i < min(from+loadStep, n); i++ {
			w := apikey.Write{Change: entry(i)}
			a, err := change(&w)
			if err != nil {
				return err
			}
			values = append(values, a["change_owner"], a["change_key"], a["alias"], a["change_at"], a["entry"])
		}
		if err := s.loadRows(ctx, tx, "history", []string{"owner", "key_id", "alias", "at", "entry"}, values); err != nil {
			return err
		}
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	return s.Analyze(ctx)
}

func (s *Store) loadSome(ctx context.Context, tx *sql.Tx, from, to int, key func(int) (*apikey.Record, apikey.Write, error)) error {
	var keys, names []any
	for i := from; i < to; i++ {
		rec, w, err := key(i)
		if err != nil {
			return err
		}
		a, err := s.row(rec, &w)
		if err != nil {
			return err
		}
		names = append(names, a["id"], a["id"])
		if a["alias"] == "" {
			a["alias"] = nil
		} else {
			names = append(names, a["alias"], a["id"])
		}
		for _, c := range loadColumns {
			keys = append(keys, a[c.arg])
		}
	}
	columns := make([]string, len(loadColumns))
	for i, c := range loadColumns {
		columns[i] = c.column
	}
	return errors.Join(s.loadRows(ctx, tx, "names", []string{"name", "key_id"}, names), s.loadRows(ctx, tx, "keys", columns, keys))
}

func (s *Store) loadRows(ctx context.Context, tx *sql.Tx, table string, columns []string, values []any) error {
	var b strings.Builder
	fmt.Fprintf(&b, "INSERT INTO %s%s (%s) VALUES ", s.cfg.TablePrefix, table, strings.Join(columns, ", "))
	for i := range values {
		switch {
		case i == 0:
			b.WriteString("(")
		case i%len(columns) == 0:
			b.WriteString("), (")
		default:
			b.WriteString(", ")
		}
		if s.dialect == PostgreSQL {
			fmt.Fprintf(&b, "$%d", i+1)
		} else {
			b.WriteString("?")
		}
	}
	b.WriteString(")")
	_, err := tx.ExecContext(ctx, b.String(), values...)
	return err
}

// Analyze has the database look at what its tables hold, as it does by itself
// from time to time.
func (s *Store) Analyze(ctx context.Context) error {
	for _, table := range []string{"keys", "names", "usage", "history"} {
		text := map[Dialect]string{PostgreSQL: "VACUUM ANALYZE ", MySQL: "ANALYZE TABLE ", SQLite: "ANALYZE "}[s.dialect] + s.cfg.TablePrefix + table
		if _, err := s.db.ExecContext(ctx, text); err != nil {
			return err
		}
	}
	return nil
}

// Sent is a statement as it went to the database.
type Sent struct {
	Text string
	Args []any
}

// recorder is a runner that remembers what it ran.
type recorder struct {
	runner
	sent []Sent
}

func (r *recorder) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	r.sent = append(r.sent, Sent{query, args})
	return r.runner.QueryContext(ctx, query, args...)
}

func (r *recorder) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	r.sent = append(r.sent, Sent{query, args})
	return r.runner.QueryRowContext(ctx, query, args...)
}

// SentByGet is what Get sends.
func (s *Store) SentByGet(ctx context.Context, ref string) ([]Sent, error) {
	r := &recorder{runner: s.db}
	err := (&session{s, r}).get(ctx, ref, new(storedRecord))
	return r.sent, err
}

// SentByCount is what a write sends to count the live keys of its owner, where
// that is a statement of its own; on PostgreSQL it is part of another.
func (s *Store) SentByCount(ctx context.Context, rec *apikey.Record, w apikey.Write) ([]Sent, error) {
	a, err := s.row(rec, &w)
	if err != nil {
		return nil, err
	}
	r := &recorder{runner: s.db}
	var n int64
	err = (&session{s, r}).row(ctx, s.sql.count, a).Scan(&n)
	return r.sent, err
}

// SentByPoll is what one poll of Watch sends, on PostgreSQL.
func (s *Store) SentByPoll(ctx context.Context) ([]Sent, error) {
	f := &snapshotFeed{store: s}
	if err := f.begin(ctx); err != nil {
		return nil, err
	}
	r := &recorder{runner: s.db}
	var snapshot, server, id, alias string
	err := (&session{s, r}).row(ctx, s.sql.feedNext, args{"snapshot": f.snapshot, "number": int64(maxTold) + 1}).Scan(&snapshot, &server, &id, &alias)
	return r.sent, err
}

// SentByHistory is what History sends, and the page.
func (s *Store) SentByHistory(ctx context.Context, q apikey.HistoryQuery) ([]Sent, apikey.HistoryPage, error) {
	r := &recorder{runner: s.db}
	before, err := q.Position()
	if err != nil {
		return nil, apikey.HistoryPage{}, err
	}
	page, err := (&session{s, r}).history(ctx, &q, before)
	return r.sent, page, err
}

// SentByList is what List sends, and the page.
func (s *Store) SentByList(ctx context.Context, q apikey.Query) ([]Sent, apikey.Page, error) {
	r := &recorder{runner: s.db}
	created, id, err := q.Position()
	if err != nil {
		return nil, apikey.Page{}, err
	}
	at := position{micro(created), id}
	if q.After == "" {
		at.created = math.MaxInt64
	}
	page, err := (&session{s, r}).list(ctx, &q, at)
	return r.sent, page, err
}

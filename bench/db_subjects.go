package bench

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/keycache"
	"github.com/go-apikey/apikey/sqlstore"
)

// Databases are the ways to verify a token whose key is in a database, without
// HTTP. The first of each database is the bare select.
func Databases() []Subject {
	var subjects []Subject
	for _, d := range []struct {
		name   string
		module string
		sqlstore.Dialect
	}{
		{"SQLite", "modernc.org/sqlite", sqlstore.SQLite},
		{"PostgreSQL", "github.com/jackc/pgx/v5", sqlstore.PostgreSQL},
		{"MariaDB", "github.com/go-sql-driver/mysql", sqlstore.MySQL},
	} {
		subjects = append(
			subjects,
			Subject{
				Name:   d.name + ", bare select",
				Module: d.module,
				Leaves: "all but a prepared select of owner and SHA-256 by ID, and the comparison",
				Start:  func(w *Workload) (*Running, error) { return startBare(w, d.Dialect) },
			},
			Subject{
				Name:   d.name + ", apikey",
				Module: ownModule + "/sqlstore",
				Leaves: "a plan, so limits; no usage is written meanwhile",
				Start:  func(w *Workload) (*Running, error) { return startStore(w, d.Dialect, false) },
			},
			Subject{
				Name:   d.name + ", apikey behind keycache",
				Module: ownModule + "/keycache",
				Leaves: "a plan, so limits; no usage is written meanwhile; what is cached serves for an hour instead of 5 s: measured are hits, and keys that are not in the cache, which are looked up each time",
				Start:  func(w *Workload) (*Running, error) { return startStore(w, d.Dialect, true) },
			},
		)
	}
	return subjects
}

// startStore has a Manager over sqlstore.
func startStore(w *Workload, d sqlstore.Dialect, cached bool) (_ *Running, err error) {
	ctx := context.Background()
	db, err := openDatabase(ctx, d)
	if err != nil {
		return nil, err
	}
	closing := []func(){db.close}
	closeAll := func() {
		for _, f := range slices.Backward(closing) {
			f()
		}
	}
	defer func() {
		if err != nil {
			closeAll()
		}
	}()
	cfg := &sqlstore.Config{PollInterval: time.Hour} // nobody else writes
	if err := sqlstore.Migrate(ctx, db.DB, d, cfg); err != nil {
		return nil, err
	}
	own, err := sqlstore.New(db.DB, d, cfg)
	if err != nil {
		return nil, err
	}
	err = db.inTx(ctx, func(tx *sql.Tx) error { return storeKeys(sqlstore.WithTx(ctx, tx), w, own) })
	if err != nil {
		return nil, err
	}
	if err := db.analyze(ctx, "apikey_keys", "apikey_names"); err != nil {
		return nil, err
	}
	var store apikey.Store = own
	if cached {
		cache, err := keycache.New(own, &keycache.Config{MaxStale: time.Hour, QueryTimeout: time.Second, MaxBytes: 4 << 30})
		if err != nil {
			return nil, err
		}
		closing = append(closing, func() { _ = cache.Close(ctx) })
		store = cache
	}
	m, err := apikey.New(store, &apikey.Config{Formats: []apikey.Format{{Prefix: prefix}}, FlushInterval: time.Hour})
	if err != nil {
		return nil, err
	}
	closing = append(closing, func() { closeManager(m) })
	running := tokenSubject(w, "", verifying(m), nil)
	running.Close = closeAll
	for range 2 { // a cache that meanwhile begins to watch forgets the first
		if err := warm(w, verifying(m), ""); err != nil {
			return nil, err
		}
	}
	return running, nil
}

// verifying makes clients that have m verify tokens.
func verifying(m *apikey.Manager) clientMaker {
	return func() func(string) int {
		ctx := context.Background()
		return func(token string) int {
			_, _, err := m.Verify(ctx, apikey.Request{Token: token})
			if err == nil {
				return http.StatusNoContent
			}
			if denial, ok := errors.AsType[*apikey.Denial](err); ok {
				return denial.Status()
			}
			return http.StatusServiceUnavailable
		}
	}
}

// startBare has a table of its own, with what a check needs at least.
func startBare(w *Workload, d sqlstore.Dialect) (_ *Running, err error) {
	ctx := context.Background()
	db, err := openDatabase(ctx, d)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			db.close()
		}
	}()
	if _, err := db.ExecContext(ctx, bareTexts[d].create); err != nil {
		return nil, err
	}
	err = db.inTx(ctx, func(tx *sql.Tx) error {
		insert, err := tx.PrepareContext(ctx, bareTexts[d].insert)
		if err != nil {
			return err
		}
		defer func() { _ = insert.Close() }()
		for _, i := range w.Order() {
			digest := sha256.Sum256([]byte(w.Tokens[i]))
			if _, err := insert.ExecContext(ctx, w.ID(i), digest[:], w.Owner(i)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := db.analyze(ctx, "bare_keys"); err != nil {
		return nil, err
	}
	point, err := db.PrepareContext(ctx, bareTexts[d].point)
	if err != nil {
		return nil, err
	}
	clients := func() func(string) int { return func(token string) int { return bareVerify(ctx, point, token) } }
	running := tokenSubject(w, "", clients, nil)
	running.Close = func() { _ = point.Close(); db.close() }
	return running, warm(w, clients, "")
}

func bareVerify(ctx context.Context, point *sql.Stmt, token string) int {
	if len(token) != tokenLen || token[:len(prefix)] != prefix {
		return http.StatusUnauthorized
	}
	var digest []byte
	var owner string
	err := point.QueryRowContext(ctx, token[len(prefix):idEnd]).Scan(&digest, &owner)
	if errors.Is(err, sql.ErrNoRows) {
		return http.StatusUnauthorized
	}
	if err != nil {
		return http.StatusServiceUnavailable
	}
	if sum := sha256.Sum256([]byte(token)); subtle.ConstantTimeCompare(sum[:], digest) != 1 {
		return http.StatusUnauthorized
	}
	return http.StatusNoContent
}

// bareTexts are the statements of a table that has as little as a check needs.
var bareTexts = map[sqlstore.Dialect]struct{ create, insert, point string }{
	sqlstore.SQLite: {
		"CREATE TABLE bare_keys (id TEXT PRIMARY KEY, digest BLOB NOT NULL, owner TEXT NOT NULL) WITHOUT ROWID",
		"INSERT INTO bare_keys VALUES (?, ?, ?)", "SELECT digest, owner FROM bare_keys WHERE id = ?",
	},
	sqlstore.PostgreSQL: {
		`CREATE TABLE bare_keys (id text COLLATE "C" PRIMARY KEY, digest bytea NOT NULL, owner text NOT NULL)`,
		"INSERT INTO bare_keys VALUES ($1, $2, $3)", "SELECT digest, owner FROM bare_keys WHERE id = $1",
	},
	sqlstore.MySQL: {
		"CREATE TABLE bare_keys (id VARCHAR(12) CHARACTER SET ascii COLLATE ascii_bin PRIMARY KEY, digest BINARY(32) NOT NULL, owner VARCHAR(255) NOT NULL)",
		"INSERT INTO bare_keys VALUES (?, ?, ?)", "SELECT digest, owner FROM bare_keys WHERE id = ?",
	},
}

package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-apikey/apikey"
)

// Dialect says which database it is.
type Dialect int

// The dialects. The zero Dialect is none.
const (
	PostgreSQL Dialect = iota + 1 // 14 and later
	MySQL                         // MariaDB 10.6 and later; MySQL 8, untested
	SQLite                        // 3.38 and later
)

func (d Dialect) String() string {
	switch d {
	case PostgreSQL:
		return "PostgreSQL"
	case MySQL:
		return "MySQL"
	case SQLite:
		return "SQLite"
	}
	return fmt.Sprintf("Dialect(%d)", int(d))
}

// Config is what can be set of a [Store]. Give [New] and [Migrate] the same.
type Config struct {
	TablePrefix  string        // of the names of tables and indexes: a-z, then a-z 0-9 _, at most 30; "": "apikey_"
	KeepUsage    time.Duration // how long Prune leaves usage by the hour; 0: 90 days
	KeepHistory  time.Duration // how long Prune leaves history, at least a day; 0: for ever
	PollInterval time.Duration // how often Watch looks for changes; 0: 1 s

	// Listen wakes Watch on PostgreSQL before the next poll. It waits for
	// notifications on the channel, by LISTEN on a connection of its own, and
	// calls wake once it listens and after each, until ctx ends or listening
	// fails, when it is called again after PollInterval. Set it on every node:
	// writes then notify too. It cannot work through PgBouncer in transaction
	// mode. nil: polls only.
	Listen func(ctx context.Context, channel string, wake func()) error
}

const (
	defaultPrefix  = "apikey_"
	defaultUsage   = 90 * 24 * time.Hour
	leastHistory   = 24 * time.Hour // Watch reads the history
	defaultPolling = time.Second
)

// Store keeps keys in a database. It is an [apikey.Store],
// [apikey.UsageReader], [apikey.Historian] and [apikey.Watcher]. Make one with
// [New].
type Store struct {
	db      *sql.DB
	dialect Dialect
	cfg     Config
	sql     *statements
	checked atomic.Bool   // the schema is the one that this version needs
	scan    int64         // maxScan
	wait    time.Duration // busyWait
	writing chan struct{} // SQLite: full while this Store writes, as one at a time can

	mu       sync.Mutex
	prepared map[*statement]*sql.Stmt
	wanted   map[*statement]bool // to be prepared
}

var (
	_ apikey.Store       = (*Store)(nil)
	_ apikey.UsageReader = (*Store)(nil)
	_ apikey.Historian   = (*Store)(nil)
	_ apikey.Watcher     = (*Store)(nil)
)

var (
	// ErrSchema says that the tables are absent, half made, or of another version than
	// this one needs. The message says what to do. Nothing was changed.
	ErrSchema = errors.New("apikey: sqlstore: wrong schema")
	// ErrNotDurable says that the database is set to lose writes that it acknowledged.
	ErrNotDurable = errors.New("apikey: sqlstore: the database may lose acknowledged writes")
)

// New returns a Store in db, whose tables [Migrate] has made. It does not use
// the database: the first call of a method looks at the schema, and fails with
// [ErrSchema] if it is not the one that this version needs. nil: zero Config.
// The Store never closes db.
func New(db *sql.DB, d Dialect, cfg *Config) (*Store, error) {
	c, err := cfg.withDefaults(d)
	if err != nil {
		return nil, err
	}
	if db == nil {
		return nil, fmt.Errorf("apikey: sqlstore: %w: no database", apikey.ErrInvalid)
	}
	return &Store{
		db: db, dialect: d, cfg: c, sql: newStatements(d, c.TablePrefix),
		scan: maxScan, wait: busyWait, writing: make(chan struct{}, 1), prepared: make(map[*statement]*sql.Stmt),
		wanted: make(map[*statement]bool),
	}, nil
}

func (c *Config) withDefaults(d Dialect) (Config, error) {
	var cfg Config
	if c != nil {
		cfg = *c
	}
	if cfg.TablePrefix == "" {
		cfg.TablePrefix = defaultPrefix
	}
	if cfg.KeepUsage == 0 {
		cfg.KeepUsage = defaultUsage
	}
	if cfg.PollInterval == 0 {
		cfg.PollInterval = defaultPolling
	}
	var faults []error
	fault := func(says string) {
		faults = append(faults, fmt.Errorf("apikey: sqlstore: %w: %s", apikey.ErrInvalid, says))
	}
	if d < PostgreSQL || d > SQLite {
		fault("Dialect: must be PostgreSQL, MySQL or SQLite")
	}
	if !validPrefix(cfg.TablePrefix) {
		fault("TablePrefix: must be a-z, then a-z 0-9 _, at most 30 characters")
	}
	if cfg.KeepUsage < time.Hour {
		fault("KeepUsage: must be an hour or more, or 0")
	}
	if cfg.KeepHistory != 0 && cfg.KeepHistory < leastHistory {
		fault("KeepHistory: must be a day or more, or 0")
	}
	if cfg.PollInterval < 0 {
		fault("PollInterval: must not be negative")
	}
	if cfg.Listen != nil && d != PostgreSQL {
		fault("Listen: is for PostgreSQL only")
	}
	return cfg, errors.Join(faults...)
}

func validPrefix(p string) bool {
	for i, c := range []byte(p) {
		letter := 'a' <= c && c <= 'z'
		if !letter && (i == 0 || c != '_' && (c < '0' || c > '9')) {
			return false
		}
	}
	return p != "" && len(p) <= 30
}

// txKey is the key of the transaction that WithTx puts into a context.
type txKey struct{}

// WithTx has every call of a Store that is given the context, or one made from
// it, run inside tx, which the host begins and commits: so deleting a user and
// revoking their keys is one transaction. What was written is there when tx
// commits, and whoever asked must not be told before. It may be of another pool
// than the Store's, on the same database.
//
// The transaction is at READ COMMITTED on PostgreSQL and MySQL; on SQLite it
// was begun by BEGIN IMMEDIATE (_txlock=immediate), or wrote something before
// it read. A call that fails leaves nothing behind in tx. After an error that
// is none of [apikey.ErrNotFound], [apikey.ErrExists], [apikey.ErrConflict] and
// [apikey.ErrKeyQuota], roll tx back: the database may have ended it. Nothing is
// retried inside tx. Watch does not run in it.
func WithTx(ctx context.Context, tx *sql.Tx) context.Context {
	return context.WithValue(ctx, txKey{}, tx)
}

func txFrom(ctx context.Context) *sql.Tx {
	tx, _ := ctx.Value(txKey{}).(*sql.Tx)
	return tx
}

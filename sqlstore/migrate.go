package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/fnv"
	"strings"
)

// Migration is one numbered step of the schema.
type Migration struct {
	Version    int
	Statements []string // in order, each without a semicolon
}

// SQL is the migration as one text, for goose, atlas or golang-migrate.
func (m *Migration) SQL() string { return strings.Join(m.Statements, ";\n\n") + ";\n" }

// Schema returns the migrations that [Migrate] applies, for teams that have
// another tool apply them. Of cfg only TablePrefix counts.
func Schema(d Dialect, cfg *Config) ([]Migration, error) {
	c, err := cfg.withDefaults(d)
	if err != nil {
		return nil, err
	}
	var all []Migration
	for i, texts := range textsOf(d).schema {
		m := Migration{Version: i + 1}
		for _, text := range texts {
			m.Statements = append(m.Statements, newStatement(d, c.TablePrefix, text).text)
		}
		all = append(all, m)
	}
	return all, nil
}

// Migrate applies the migrations that db has not had, in order. Of cfg only
// TablePrefix counts. Any number of processes may call it at once: one does the
// work and the others wait for it. A schema that is newer than this binary, or
// half made, is [ErrSchema] and is left as it is. On PostgreSQL and SQLite
// Migrate does all or nothing; on MySQL, which cannot, one that is interrupted
// leaves a schema that is half made and recorded as such.
func Migrate(ctx context.Context, db *sql.DB, d Dialect, cfg *Config) error {
	all, err := Schema(d, cfg)
	if err != nil {
		return err
	}
	s, err := New(db, d, cfg)
	if err != nil {
		return err
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return failed(ctx, err)
	}
	defer func() { _ = conn.Close() }()
	m := &migration{store: s, conn: conn, all: all}
	switch d {
	case PostgreSQL:
		err = m.postgres(ctx)
	case MySQL:
		err = m.mysql(ctx)
	case SQLite:
		err = m.sqlite(ctx)
	}
	if err == nil || errors.Is(err, ErrSchema) {
		return err
	}
	return failed(ctx, fmt.Errorf("migrate: %w", err))
}

// migration is one call of Migrate.
type migration struct {
	store *Store
	conn  *sql.Conn
	all   []Migration
}

// apply does what is missing. Nobody else migrates meanwhile.
func (m *migration) apply(ctx context.Context, on runner) error {
	prefix := m.store.cfg.TablePrefix
	state, err := readSchema(ctx, on, m.store.sql)
	if err != nil {
		return err
	}
	if state.version > len(m.all) {
		return state.fits(len(m.all), prefix)
	}
	if err := state.whole(prefix); err != nil {
		return err
	}
	for _, step := range m.all[state.version:] {
		for _, text := range step.Statements {
			if _, err := on.ExecContext(ctx, text); err != nil {
				return fmt.Errorf("migration %d: %w", step.Version, err)
			}
		}
	}
	return nil
}

func (m *migration) postgres(ctx context.Context) error {
	var encoding string
	if err := m.conn.QueryRowContext(ctx, "SHOW server_encoding").Scan(&encoding); err != nil {
		return err
	}
	if encoding != "UTF8" {
		return fmt.Errorf("%w: the database's encoding is %s, in which not every owner can be written: make it with ENCODING 'UTF8'", ErrSchema, encoding)
	}
	tx, err := m.conn.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it does nothing, and before it the server does the same
	if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock($1::bigint)", m.lockNumber()); err != nil {
		return err
	}
	if err := m.apply(ctx, tx); err != nil {
		return err
	}
	return tx.Commit()
}

// lockNumber is the advisory lock of these tables, of all databases alike.
func (m *migration) lockNumber() int64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte("github.com/go-apikey/apikey/sqlstore " + m.store.cfg.TablePrefix))
	return int64(h.Sum64())
}

func (m *migration) mysql(ctx context.Context) error {
	const name = "SHA1(CONCAT('apikey ', DATABASE(), ' ', ?))"
	for locked := (sql.NullInt64{}); locked.Int64 != 1; { // a wait that is over gives 0; ctx ends all of them
		if err := m.conn.QueryRowContext(ctx, "SELECT GET_LOCK("+name+", 10)", m.store.cfg.TablePrefix).Scan(&locked); err != nil {
			return err
		}
		if !locked.Valid {
			return errors.New("no lock could be had: is a database selected?")
		}
	}
	err := m.apply(ctx, m.conn)
	_, released := m.conn.ExecContext(context.WithoutCancel(ctx), "DO RELEASE_LOCK("+name+")", m.store.cfg.TablePrefix)
	return errors.Join(err, released)
}

func (m *migration) sqlite(ctx context.Context) error {
	err := m.store.untilFree(ctx, func() error {
		_, err := m.conn.ExecContext(ctx, "BEGIN IMMEDIATE")
		return err
	})
	if err != nil {
		return err
	}
	if err = m.apply(ctx, m.conn); err == nil {
		_, err = m.conn.ExecContext(context.WithoutCancel(ctx), "COMMIT")
	}
	if err != nil {
		m.store.undo(ctx, m.conn)
	}
	return err
}

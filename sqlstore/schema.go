package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
)

// ready looks at the schema, once.
func (s *Store) ready(ctx context.Context, on runner) error {
	if s.checked.Load() {
		return nil
	}
	state, err := readSchema(ctx, on, s.sql)
	if err != nil {
		return err
	}
	if err := state.fits(latest(s.dialect), s.cfg.TablePrefix); err != nil {
		return err
	}
	s.checked.Store(true)
	return nil
}

// latest is the version of the schema that this version of the package needs.
func latest(d Dialect) int { return len(textsOf(d).schema) }

// schemaState is what is there of the schema.
type schemaState struct {
	tables  []string // ours
	version int      // the highest migration that was begun; 0: none
	undone  int      // a migration that was begun and not done; 0: none
}

func readSchema(ctx context.Context, on runner, sql *statements) (state schemaState, err error) {
	err = each(ctx, on, sql.tables, func(scan func(...any) error) error {
		var name string
		err := scan(&name)
		state.tables = append(state.tables, name)
		return err
	})
	if err != nil || !slices.Contains(state.tables, sql.prefix+"schema") {
		return state, err
	}
	err = each(ctx, on, sql.versions, func(scan func(...any) error) error {
		var version, done int
		err := scan(&version, &done)
		state.version = max(state.version, version)
		if done == 0 {
			state.undone = version
		}
		return err
	})
	return state, err
}

// fits reports, as an ErrSchema, what is wrong for who needs this version.
func (state *schemaState) fits(version int, prefix string) error {
	switch {
	case len(state.tables) == 0:
		return fmt.Errorf("%w: there are no tables %s…: run Migrate, or apply what Schema returns", ErrSchema, prefix)
	case state.version > version:
		return fmt.Errorf("%w: the tables %s… are of version %d, this binary knows %d: it is older than what migrated them; update it",
			ErrSchema, prefix, state.version, version)
	}
	if err := state.whole(prefix); err != nil {
		return err
	}
	if state.version < version {
		return fmt.Errorf("%w: the tables %s… are of version %d, this binary needs %d: run Migrate, or apply what Schema returns from version %d on",
			ErrSchema, prefix, state.version, version, state.version+1)
	}
	return nil
}

// whole reports what is wrong if a migration was half applied.
func (state *schemaState) whole(prefix string) error {
	if state.undone != 0 {
		return fmt.Errorf("%w: migration %d of the tables %s… was begun and not finished: restore them from a backup or, "+
			"where nothing is in them yet, drop them and run Migrate; or apply by hand what Schema returns and is missing", ErrSchema, state.undone, prefix)
	}
	if n := len(state.tables); n != 0 && (n != len(tableNames) || state.version == 0) {
		return fmt.Errorf("%w: of %d tables %s… there are %d (%s), and %d migrations are recorded: they are half made or others of that name; "+
			"restore or drop them, or use another TablePrefix", ErrSchema, len(tableNames), prefix, n, strings.Join(state.tables, ", "), state.version)
	}
	return nil
}

// each calls f for each row of a statement without arguments.
func each(ctx context.Context, on runner, st *statement, f func(scan func(...any) error) error) error {
	rows, err := on.QueryContext(ctx, st.text, st.bind(nil)...)
	if err != nil {
		return err
	}
	return eachRow(rows, f)
}

func eachRow(rows *sql.Rows, f func(scan func(...any) error) error) error {
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := f(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

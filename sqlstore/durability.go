package sqlstore

import (
	"context"
	"errors"
	"fmt"
)

// durable are the settings of each dialect under which what was acknowledged
// stays: a query of one row, and the fault with each of its columns where that
// is not 1.
var durable = map[Dialect]struct {
	query  string
	faults []string
}{
	PostgreSQL: {
		`SELECT CASE WHEN current_setting('synchronous_commit') <> 'off' THEN 1 ELSE 0 END,
			CASE WHEN current_setting('fsync') = 'on' THEN 1 ELSE 0 END,
			CASE WHEN current_setting('full_page_writes') = 'on' THEN 1 ELSE 0 END,
			CASE WHEN EXISTS (SELECT 1 FROM unnest(ARRAY[{table_names}]) AS name JOIN pg_class c ON c.oid = to_regclass(name)
				WHERE c.relpersistence <> 'p') THEN 0 ELSE 1 END`,
		[]string{
			"synchronous_commit is off", "fsync is off", "full_page_writes is off", "a table is unlogged or temporary",
		},
	},
	MySQL: {
		`SELECT CASE WHEN @@innodb_flush_log_at_trx_commit = 1 THEN 1 ELSE 0 END,
			CASE WHEN @@log_bin = 0 OR @@sync_binlog = 1 THEN 1 ELSE 0 END,
			CASE WHEN EXISTS (SELECT 1 FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name IN ({table_names})
				AND engine <> 'InnoDB') THEN 0 ELSE 1 END`,
		[]string{
			"innodb_flush_log_at_trx_commit is not 1",
			"the binary log is on and sync_binlog is not 1", // after a crash the binary log decides what was committed
			"a table is not of the engine InnoDB",
		},
	},
	SQLite: {
		// 2 is FULL. With WAL, NORMAL loses the last commits when the power fails.
		`SELECT CASE WHEN s.synchronous >= 2 OR s.synchronous = 1 AND j.journal_mode IN ('delete', 'truncate', 'persist') THEN 1 ELSE 0 END,
			CASE WHEN j.journal_mode IN ('off', 'memory') AND d.file <> '' THEN 0 ELSE 1 END,
			CASE WHEN d.file <> '' THEN 1 ELSE 0 END
		FROM pragma_synchronous s, pragma_journal_mode j, pragma_database_list d WHERE d.name = 'main'`,
		[]string{
			"PRAGMA synchronous is OFF, or NORMAL with WAL: set it to FULL", "PRAGMA journal_mode is OFF or MEMORY", "the database is in memory",
		},
	},
}

// CheckDurability is [ErrNotDurable], naming each setting at fault, if the
// database is set to lose writes that it acknowledged when it crashes. Call it
// at start-up. On SQLite, and for a session's own settings, it sees one
// connection of the pool: set them in the DSN, for all.
func (s *Store) CheckDurability(ctx context.Context) error {
	d := durable[s.dialect]
	st := newStatement(s.dialect, s.cfg.TablePrefix, withTableNames(d.query))
	values := make([]int, len(d.faults))
	into := make([]any, len(values))
	for i := range values {
		into[i] = &values[i]
	}
	err := s.read(ctx, func(x *session) error { return x.on.QueryRowContext(ctx, st.text).Scan(into...) })
	if err != nil {
		return err
	}
	var faults []error
	for i, v := range values {
		if v != 1 {
			faults = append(faults, fmt.Errorf("%w: %s", ErrNotDurable, d.faults[i]))
		}
	}
	return errors.Join(faults...)
}

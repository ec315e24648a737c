// Package sqlstore is an [apikey.Store] over database/sql: on PostgreSQL, on
// MariaDB and MySQL, and on SQLite. It imports no driver; a host brings its own.
// It is tested with github.com/jackc/pgx/v5/stdlib,
// github.com/go-sql-driver/mysql and modernc.org/sqlite, on PostgreSQL 15,
// MariaDB 10.11 and SQLite 3. MySQL 8 is untested.
//
//	db, err := sql.Open("sqlite", "file:keys.db?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(1000)")
//	err = sqlstore.Migrate(ctx, db, sqlstore.SQLite, nil)
//	store, err := sqlstore.New(db, sqlstore.SQLite, nil)
//	err = store.CheckDurability(ctx)
//
// What is stored of a key is its encoded record; every other column is an index
// over it. The tables change by [Migrate] alone, or by whatever tool applies
// what [Schema] returns. Usage by the hour and history stay until [Store.Prune]
// is called.
//
// On SQLite a host sets, in the DSN, so that each connection has them:
// journal_mode(WAL), by which readers and the writer do not wait for one
// another; synchronous(FULL), without which a power failure loses the last
// writes ([Store.CheckDurability]); and a busy_timeout for other processes that
// write, short, for SQLite does not end its wait when a context does. A Store
// waits again by itself, for 10 seconds or until the context ends.
//
// On PostgreSQL and MySQL transactions are at READ COMMITTED, said outright.
// Those that the database ended for another's sake (deadlocks, serialisation
// failures), and those whose connection broke before the commit, are begun
// anew. A failure before the commit is [apikey.ErrNotApplied]; one of the commit
// itself leaves the outcome unknown, and is neither repeated nor called so. A
// commit that is under way when a context ends is waited for, up to a second
// more. READ COMMITTED on MySQL with a binary log needs binlog_format MIXED, the
// default, or ROW.
package sqlstore

package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"syscall"

	"github.com/go-apikey/apikey"
)

// No driver is imported, so that a host links the one it has and no other.
// What an error of a driver means is read from
//
//   - SQLState() string, on PostgreSQL: pgx and lib/pq have it;
//   - Code() int, on SQLite: modernc.org/sqlite has it; else from the text of
//     SQLite itself, "database is locked", which all others pass on;
//   - "Error 1213 …", on MySQL: go-sql-driver/mysql has the number in a field,
//     which no interface reaches, and begins its text with it.
//
// A driver that has none of these works too; its conflicts are not retried.

// again reports whether nothing of the transaction was done and the same may
// well succeed if it is begun anew: a deadlock, a serialisation failure, a lock
// that was held for too long.
func (d Dialect) again(err error) bool {
	switch d {
	case PostgreSQL:
		code := sqlState(err)
		return code == "40001" || code == "40P01" || code == "55P03"
	case MySQL:
		code := mysqlNumber(err)
		return code == 1213 || code == 1205 || code == 1020
	case SQLite:
		return sqliteBusy(err)
	}
	return false
}

// rolledBack reports whether the database answered a COMMIT by saying that it
// rolled back.
func (d Dialect) rolledBack(err error) bool {
	switch d {
	case PostgreSQL:
		return strings.HasPrefix(sqlState(err), "40")
	case MySQL:
		return mysqlNumber(err) == 1213
	}
	return false
}

// duplicate reports whether a unique index refused a row, on MySQL; on the
// others no statement lets it come to that.
func (d Dialect) duplicate(err error) bool { return d == MySQL && mysqlNumber(err) == 1062 }

// lockedNow reports whether a lock could not be had at once.
func (d Dialect) lockedNow(err error) bool {
	code := mysqlNumber(err)
	return d == MySQL && (code == 1205 || code == 3572)
}

func sqlState(err error) string {
	var e interface{ SQLState() string }
	if errors.As(err, &e) {
		return e.SQLState()
	}
	return ""
}

func sqliteBusy(err error) bool {
	var e interface{ Code() int }
	if errors.As(err, &e) {
		primary := e.Code() & 0xff // the rest says more precisely why
		return primary == 5 || primary == 6
	}
	return err != nil && strings.Contains(err.Error(), "database is locked")
}

// mysqlNumber is the number of the error of a MySQL server; 0: it is none.
func mysqlNumber(err error) int {
	for ; err != nil; err = errors.Unwrap(err) {
		text, ok := strings.CutPrefix(err.Error(), "Error ")
		if !ok {
			continue
		}
		end := strings.IndexFunc(text, func(r rune) bool { return r < '0' || r > '9' })
		if n, err := strconv.Atoi(text[:max(end, 0)]); err == nil {
			return n
		}
	}
	return 0
}

// lostConnection reports whether err tells of the connection rather than of the
// statement.
func lostConnection(err error) bool {
	var network net.Error
	var errno syscall.Errno
	switch {
	case errors.Is(err, driver.ErrBadConn), errors.Is(err, sql.ErrConnDone), errors.Is(err, io.EOF),
		errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed), errors.As(err, &network), errors.As(err, &errno):
		return true
	}
	code := sqlState(err)
	return strings.HasPrefix(code, "08") || strings.HasPrefix(code, "57P") || // an end by the administrator or a crash
		err != nil && strings.HasSuffix(err.Error(), "invalid connection") // go-sql-driver/mysql
}

// meaning reports whether err is one of the contract's, which is not to be
// wrapped in a failure.
func meaning(err error) bool {
	return errors.Is(err, apikey.ErrNotFound) || errors.Is(err, apikey.ErrExists) || errors.Is(err, apikey.ErrConflict) ||
		errors.Is(err, apikey.ErrKeyQuota)
}

// failed is what a call returns for an error of the database: ctx's, if ctx has
// ended, whatever the driver made of that.
func failed(ctx context.Context, err error) error {
	if ended := ctx.Err(); ended != nil && !errors.Is(err, ended) {
		return fmt.Errorf("apikey: sqlstore: %w: %w", ended, err)
	}
	return fmt.Errorf("apikey: sqlstore: %w", err)
}

// notApplied is failed of a write that surely wrote nothing.
func notApplied(ctx context.Context, err error) error {
	if meaning(err) || errors.Is(err, apikey.ErrNotApplied) {
		return err
	}
	return fmt.Errorf("%w: %w", apikey.ErrNotApplied, failed(ctx, err))
}

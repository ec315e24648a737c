package demo

import (
	"context"
	"database/sql"
	"errors"
	"net/url"

	_ "modernc.org/sqlite" // the driver

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/memstore"
	"github.com/go-apikey/apikey/sqlstore"
)

// openStore opens a SQLite file, or a store in memory if there is none.
func openStore(ctx context.Context, file string) (_ apikey.Store, closeStore func() error, err error) {
	if file == "" {
		return memstore.New(), func() error { return nil }, nil
	}
	pragmas := url.Values{"_pragma": {"journal_mode(WAL)", "synchronous(FULL)", "busy_timeout(1000)"}}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: file}).EscapedPath()+"?"+pragmas.Encode())
	if err != nil {
		return nil, nil, err
	}
	store, err := sqlstore.New(db, sqlstore.SQLite, nil)
	if err == nil {
		err = sqlstore.Migrate(ctx, db, sqlstore.SQLite, nil)
	}
	if err == nil {
		err = store.CheckDurability(ctx)
	}
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return store, db.Close, nil
}

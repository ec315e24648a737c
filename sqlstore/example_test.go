package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/sqlstore"
)

// Keys in one file.
func Example() {
	dir, err := os.MkdirTemp("", "keys")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	file := filepath.Join(dir, "keys.db")

	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(1000)")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	ctx := context.Background()
	if err := sqlstore.Migrate(ctx, db, sqlstore.SQLite, nil); err != nil {
		log.Fatal(err)
	}
	store, err := sqlstore.New(db, sqlstore.SQLite, nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := store.CheckDurability(ctx); err != nil {
		log.Fatal(err)
	}
	keys, err := apikey.New(store, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer keys.Close(ctx)

	issued, err := keys.Keyring("acct_42", apikey.Operator("signup")).Create(ctx, apikey.KeyParams{Name: "Production"})
	if err != nil {
		log.Fatal(err)
	}
	principal, _, err := keys.Verify(ctx, apikey.Request{Token: issued.Token.Reveal()})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(principal.Owner(), principal.Name())
	// Output: acct_42 Production
}

// A user and their keys go in one transaction.
func ExampleWithTx() {
	deleteUser := func(ctx context.Context, db *sql.DB, keys *apikey.Manager, user string) error {
		tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }()
		if _, err := tx.ExecContext(ctx, "DELETE FROM users WHERE id = $1", user); err != nil {
			return err
		}
		if _, err := keys.Keyring(user, apikey.Operator("offboarding")).RevokeAll(sqlstore.WithTx(ctx, tx)); err != nil {
			return err
		}
		return tx.Commit()
	}
	_ = deleteUser
}

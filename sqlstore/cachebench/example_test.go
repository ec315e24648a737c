package cachebench

import (
	"context"
	"database/sql"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/keycache"
	"github.com/go-apikey/apikey/sqlstore"
)

// A user and their keys go in one transaction, behind a cache.
func Example() {
	deleteUser := func(ctx context.Context, db *sql.DB, keys *apikey.Manager, cache *keycache.Store, user string) error {
		tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }()
		if _, err := tx.ExecContext(ctx, "DELETE FROM users WHERE id = $1", user); err != nil {
			return err
		}
		ring, inTx := keys.Keyring(user, apikey.Operator("offboarding")), sqlstore.WithTx(ctx, tx)
		if _, err := ring.RevokeAll(inTx); err != nil {
			return err
		}
		var ids []string
		for q, more := (apikey.Query{}), true; more; more = q.After != "" {
			page, err := ring.List(inTx, q)
			if err != nil {
				return err
			}
			for _, k := range page.Keys {
				ids = append(ids, k.ID)
			}
			q.After = page.Next
		}
		if err := tx.Commit(); err != nil {
			return err
		}
		cache.Forget(ids...)
		return nil
	}
	_ = deleteUser
}

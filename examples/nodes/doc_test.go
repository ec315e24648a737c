package main

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/redis/go-redis/v9"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/keycache"
	"github.com/go-apikey/apikey/redislimit"
	"github.com/go-apikey/apikey/sqlstore"
)

// A host revokes keys in a transaction of its own, and the cache forgets them
// after the commit.
func Example_ownTransaction() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "keys")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "keys.db")+"?_txlock=immediate&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(1000)")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if err := sqlstore.Migrate(ctx, db, sqlstore.SQLite, nil); err != nil {
		log.Fatal(err)
	}
	store, err := sqlstore.New(db, sqlstore.SQLite, nil)
	if err != nil {
		log.Fatal(err)
	}
	cache, err := keycache.New(store, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer cache.Close(ctx)
	keys, err := apikey.New(cache, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer keys.Close(ctx)
	ring := keys.Keyring("acct_42", apikey.Operator("support"))
	issued, err := ring.Create(ctx, apikey.KeyParams{Name: "Production"})
	if err != nil {
		log.Fatal(err)
	}
	id, token := issued.Key.ID, issued.Token.Reveal()

	leave := func(ctx context.Context) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }()
		// and what else the host does in tx
		if _, err := ring.Revoke(sqlstore.WithTx(ctx, tx), id); err != nil {
			return err
		}
		// Who asks now is admitted, and the cache remembers the key as it was.
		_, _, err = keys.Verify(ctx, apikey.Request{Token: token})
		fmt.Println("before the commit, admitted:", err == nil)
		if err := tx.Commit(); err != nil {
			return err
		}
		cache.Forget(id)
		return nil
	}
	if err := leave(ctx); err != nil {
		log.Fatal(err)
	}
	_, _, err = keys.Verify(ctx, apikey.Request{Token: token})
	fmt.Println("after it, admitted:", err == nil)
	// Output:
	// before the commit, admitted: true
	// after it, admitted: false
}

// A limiter on a Redis Cluster, with leases, and with limits divided by the
// nodes while Redis is gone.
func Example_cluster() {
	newLimiter := func(addrs []string, nodes int) (*redislimit.Limiter, error) {
		client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs, ContextTimeoutEnabled: true, DialerRetries: 1})
		return redislimit.New(client, &redislimit.Config{Lease: 10, OnFailure: redislimit.Fallback, Nodes: nodes})
	}
	_ = newLimiter
}

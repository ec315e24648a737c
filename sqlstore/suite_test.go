package sqlstore_test

import (
	"flag"
	"os"
	"testing"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/apikeytest"
	"github.com/go-apikey/apikey/sqlstore"
	"github.com/go-apikey/apikey/sqlstore/internal/sqltest"
)

// The long lists are long with APIKEY_LONG=1 only: where each write waits for
// the disk, making 10,000 keys takes minutes. Nor is a database made for each
// promise, which takes longer than most of them.
func TestStore(t *testing.T) {
	if os.Getenv("APIKEY_LONG") == "" && !testing.Short() {
		short := flag.Lookup("test.short").Value
		if err := short.Set("true"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = short.Set("false") })
	}
	sqltest.Each(t, func(t *testing.T, d sqlstore.Dialect) {
		db := sqltest.Open(t, d)
		sqltest.StoreIn(t, db.DB, d, nil)
		apikeytest.RunStore(t, func(t *testing.T) apikey.Store {
			for _, table := range sqlstore.Tables {
				if _, err := db.ExecContext(t.Context(), "DELETE FROM apikey_"+table); err != nil {
					t.Fatal(err)
				}
			}
			return sqltest.StoreIn(t, db.Again(t, ""), d, nil)
		})
	})
}

package keycache

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/go-apikey/apikey"
)

// made is a Store of as many keys as are asked for, which keeps none, so that
// what is in memory is the cache's.
type made struct {
	apikey.Store
	alias bool
}

func (m made) Get(_ context.Context, ref string) (*apikey.Record, error) {
	if m.alias {
		return typical("Key"+ref[len(ref)-9:], ref), nil
	}
	return typical(ref, ""), nil
}

func typical(id, alias string) *apikey.Record {
	at := time.Date(2021, 3, 4, 5, 6, 7, 8000, time.UTC)
	rec, err := apikey.NewRecord(&apikey.Key{
		ID: id, Alias: alias, Owner: "acct_" + id[3:], Name: "Production, key of " + id, Environment: "live", CreatedBy: "user_" + id[3:],
		Permissions: apikey.Permissions{"calls:*", "contacts:read", "webhooks:write"}, CreatedAt: at, Version: 1,
		Secrets: []apikey.Secret{{N: 1, Prefix: "sk_live_", CreatedAt: at}},
	}, apikey.SumToken(id))
	if err != nil {
		panic(err)
	}
	return rec
}

// TestMemory reads far more keys than there is room for, and looks at what is
// in memory then: all of it is within MaxBytes, with the 640 bytes to spare that
// a Manager may add to a key in use. With APIKEY_LONG=1 they are a million.
func TestMemory(t *testing.T) {
	for _, alias := range []bool{false, true} {
		n, most := 200_000, int64(16<<20)
		switch {
		case alias || testing.Short() || raceEnabled:
			n, most = 30_000, 8<<20
		case os.Getenv("APIKEY_LONG") != "":
			n, most = 1_000_000, 64<<20
		}
		t.Run(fmt.Sprint("alias=", alias), func(t *testing.T) {
			before := heap()
			s := newCache(t, made{alias: alias}, &Config{MaxBytes: most})
			for _, id := range ids(0, n) {
				ref := id
				if alias {
					ref = "~legacy:" + id[3:]
				}
				if _, err := s.Get(t.Context(), ref); err != nil {
					t.Fatal(err)
				}
			}
			s.entries.CleanUp()
			took, weight, entries := heap()-before, s.entries.WeightedSize(), s.entries.EstimatedSize()
			t.Logf("%d MiB of %d, %d entries, %d bytes each, weighed %d", took>>20, most>>20, entries, took/int64(entries), weight/uint64(entries))
			keys := int64(entries)
			if alias {
				keys /= 2 // each is there under two names
			}
			if took+keys*inUse > most || int64(weight) > most {
				t.Errorf("it takes %d bytes, and weighs %d; MaxBytes is %d", took, weight, most)
			}
			if entries < n/30 {
				t.Errorf("there is room for %d entries only", entries)
			}
			runtime.KeepAlive(s)
		})
	}
}

// inUse is what a key takes beside its record, at most, while requests come in
// with it: see TestLongKeyInUse of package apikey.
const inUse = 640

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

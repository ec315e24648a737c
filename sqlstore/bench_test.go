package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/sqlstore"
	"github.com/go-apikey/apikey/sqlstore/internal/sqltest"
)

// The benchmarks set the Store beside the least that the same driver does, in
// rounds of both by turns, and report medians of times and of the ratios within
// a round:
//
//	go test -run '^$' -bench 'Get|Flush|Create' -benchtime 1x .

const benchKeys = 1000

func benchStore(b *testing.B, d sqlstore.Dialect, n int) (*sqltest.Database, *sqlstore.Store) {
	b.Helper()
	db := sqltest.Open(b, d)
	s := sqltest.StoreIn(b, db.DB, d, nil)
	fill(b, s, n)
	return db, s
}

func eachDialect(b *testing.B, f func(b *testing.B, d sqlstore.Dialect)) {
	b.Helper()
	for _, d := range sqltest.Dialects() {
		b.Run(d.String(), func(b *testing.B) {
			sqltest.Need(b, d)
			f(b, d)
		})
	}
}

// mark is a placeholder.
func mark(d sqlstore.Dialect) string {
	if d == sqlstore.PostgreSQL {
		return "$1"
	}
	return "?"
}

// BenchmarkGet is Get beside a prepared select of the same row.
func BenchmarkGet(b *testing.B) {
	eachDialect(b, func(b *testing.B, d sqlstore.Dialect) {
		db, s := benchStore(b, d, benchKeys)
		bare, err := db.PrepareContext(b.Context(), "SELECT record FROM apikey_keys WHERE id = "+mark(d))
		if err != nil {
			b.Fatal(err)
		}
		defer func() { _ = bare.Close() }()
		ids := make([]string, benchKeys)
		for i := range ids {
			ids[i] = bigKey(i, benchKeys).ID
		}
		const perRound = 100 // so that a garbage collection disturbs few of them
		sideBySide(b, 301, func() float64 {
			return timed(perRound, func(i int) {
				var record []byte
				if err := bare.QueryRowContext(b.Context(), ids[i%benchKeys]).Scan(&record); err != nil {
					b.Fatal(err)
				}
			})
		}, func() float64 {
			return timed(perRound, func(i int) {
				if _, err := s.Get(b.Context(), ids[i%benchKeys]); err != nil {
					b.Fatal(err)
				}
			})
		})
	})
}

// BenchmarkFlush is the usage of 1,000 keys in a batch, beside 1,000 batches of
// one key each (same), and beside 1,000 bare updates of one counter (counter),
// which leave out hours, last use of each secret and what keeps a batch from
// being added twice.
func BenchmarkFlush(b *testing.B) {
	eachDialect(b, func(b *testing.B, d sqlstore.Dialect) {
		db, s := benchStore(b, d, 2*benchKeys)
		single, err := db.PrepareContext(b.Context(), "UPDATE apikey_usage SET requests = requests + 1 WHERE key_id = "+mark(d))
		if err != nil {
			b.Fatal(err)
		}
		defer func() { _ = single.Close() }()
		ids := make([]string, benchKeys)
		for i := range ids {
			ids[i] = bigKey(2*i, 2*benchKeys).ID // these have usage
		}
		seq := int64(1000)
		flush := func(ids ...string) {
			seq++
			batch := apikey.UsageBatch{Node: "n", Seq: seq}
			for _, id := range ids {
				batch.Entries = append(batch.Entries, usageEntry(id, 1))
			}
			if err := s.AddUsage(b.Context(), batch); err != nil {
				b.Fatal(err)
			}
		}
		whole := func() float64 { return timed(1, func(int) { flush(ids...) }) }
		b.Run("counter", func(b *testing.B) {
			sideBySide(b, 5, func() float64 {
				return timed(1, func(int) {
					for _, id := range ids {
						result, err := single.ExecContext(b.Context(), id)
						if n := affected(result, err); n != 1 {
							b.Fatal(n, err)
						}
					}
				})
			}, whole)
		})
		b.Run("same", func(b *testing.B) {
			sideBySide(b, 5, func() float64 {
				return timed(1, func(int) {
					for _, id := range ids {
						flush(id)
					}
				})
			}, whole)
		})
	})
}

func affected(result sql.Result, err error) int64 {
	if err != nil {
		return -1
	}
	n, err := result.RowsAffected()
	if err != nil {
		return -1
	}
	return n
}

// sideBySide runs rounds of both, one after the other; each returns how many
// nanoseconds one call took.
func sideBySide(b *testing.B, rounds int, floor, ours func() float64) {
	b.Helper()
	floor()
	ours()
	var floors, times, ratios []float64
	for b.Loop() {
		for range rounds {
			f, o := floor(), ours()
			floors, times, ratios = append(floors, f), append(times, o), append(ratios, o/f)
		}
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(quantile(floors, 0.5), "floor-ns")
	b.ReportMetric(quantile(times, 0.5), "ours-ns")
	b.ReportMetric(quantile(ratios, 0.5), "ratio")
	b.ReportMetric(1/quantile(ratios, 0.5), "times-faster")
}

func timed(n int, f func(i int)) float64 {
	start := time.Now()
	for i := range n {
		f(i)
	}
	return float64(time.Since(start).Nanoseconds()) / float64(n)
}

func quantile(x []float64, q float64) float64 {
	s := slices.Sorted(slices.Values(x))
	return s[min(int(q*float64(len(s))), len(s)-1)]
}

// BenchmarkCreate is Create under a cap for an owner with 100,000 revoked keys,
// with APIKEY_LONG=1, else 10,000, beside one for an owner with none.
func BenchmarkCreate(b *testing.B) {
	n := 10_000
	if os.Getenv("APIKEY_LONG") != "" {
		n = 100_000
	}
	eachDialect(b, func(b *testing.B, d sqlstore.Dialect) {
		s := sqltest.Store(b, d, nil)
		err := s.Load(b.Context(), n, func(i int) (*apikey.Record, apikey.Write, error) {
			k := testKey(i, deadOwner)
			k.RevokedAt = k.CreatedAt
			rec, err := apikey.NewRecord(k, apikey.SumToken(k.ID))
			return rec, write(k, -1), err
		})
		if err != nil {
			b.Fatal(err)
		}
		made := n
		create := func(owner string) func() float64 {
			return func() float64 {
				return timed(20, func(int) {
					made++
					k := testKey(made, owner)
					if err := s.Create(b.Context(), record(b, k), write(k, 100_000)); err != nil {
						b.Fatal(err)
					}
				})
			}
		}
		sideBySide(b, 15, create("acct"), create(deadOwner))
	})
}

// BenchmarkMillion has 1,000,000 keys with APIKEY_LONG=1, half of them with
// usage, else 20,000:
//
//	APIKEY_LONG=1 go test -run '^$' -bench Million -benchtime 1x -timeout 1h .
func BenchmarkMillion(b *testing.B) {
	n := 20_000
	if os.Getenv("APIKEY_LONG") != "" {
		n = 1_000_000
	}
	eachDialect(b, func(b *testing.B, d sqlstore.Dialect) {
		db, s := benchStore(b, d, n)
		get := func() float64 {
			id := bigKey(rand.IntN(n), n).ID
			return timed(1, func(int) {
				if _, err := s.Get(b.Context(), id); err != nil {
					b.Fatal(err)
				}
			})
		}
		owner := apikey.Query{Owner: bigOwner, Limit: 50, At: epoch}
		all := apikey.Query{AllOwners: true, Limit: 50, At: epoch}
		due := apikey.Query{AllOwners: true, RotatedBefore: epoch.Add(-time.Hour), Limit: 50, At: epoch}
		unused := apikey.Query{AllOwners: true, UnusedSince: epoch.Add(-time.Hour), Limit: 50, At: epoch}
		hundredth := afterPages(b, s, owner, min(99, n/10/50-1))
		hundredthOfAll := afterPages(b, s, all, 99)
		list := func(q apikey.Query) func() float64 {
			return func() float64 {
				return timed(1, func(int) {
					if _, err := s.List(b.Context(), q); err != nil {
						b.Fatal(err)
					}
				})
			}
		}
		b.ResetTimer()
		for b.Loop() {
			report(b, "get", 20_000, get)
			report(b, "owner-page-1", 200, list(owner))
			report(b, "owner-page-100", 200, list(hundredth))
			report(b, "all-page-1", 200, list(all))
			report(b, "all-page-100", 200, list(hundredthOfAll))
			report(b, "due-of-10,000", 20, list(due))
			report(b, "unused-of-10,000", 20, list(unused))
		}
		b.ReportMetric(0, "ns/op")
		sizes(b, db, d)
	})
}

func report(b *testing.B, name string, n int, f func() float64) {
	b.Helper()
	times := make([]float64, n)
	for i := range times {
		times[i] = f() / 1000
	}
	b.ReportMetric(quantile(times, 0.5), name+"-p50-µs")
	b.ReportMetric(quantile(times, 0.99), name+"-p99-µs")
}

func afterPages(b *testing.B, s *sqlstore.Store, q apikey.Query, n int) apikey.Query {
	b.Helper()
	for range n {
		page, err := s.List(b.Context(), q)
		if err != nil || page.Next == "" {
			b.Fatal(page.Next, err)
		}
		q.After = page.Next
	}
	return q
}

// sizes reports what the keys take, and what the other tables do, in MiB.
func sizes(b *testing.B, db *sqltest.Database, d sqlstore.Dialect) {
	b.Helper()
	texts := map[sqlstore.Dialect][3]string{
		sqlstore.PostgreSQL: {
			"SELECT pg_table_size('apikey_keys')", "SELECT pg_indexes_size('apikey_keys')",
			"SELECT SUM(pg_total_relation_size(oid))::bigint FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace",
		},
		sqlstore.MySQL: {
			"SELECT data_length FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = 'apikey_keys'",
			"SELECT index_length FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = 'apikey_keys'",
			"SELECT SUM(data_length + index_length) FROM information_schema.tables WHERE table_schema = DATABASE()",
		},
		sqlstore.SQLite: {
			"SELECT SUM(pgsize) FROM dbstat WHERE name = 'apikey_keys'",
			"SELECT SUM(pgsize) FROM dbstat WHERE name IN (SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = 'apikey_keys')",
			"SELECT SUM(pgsize) FROM dbstat",
		},
	}[d]
	for i, name := range []string{"table", "indexes", "all"} {
		var bytes float64
		if err := db.QueryRowContext(context.WithoutCancel(b.Context()), texts[i]).Scan(&bytes); err != nil {
			b.Error(fmt.Errorf("%s: %w", name, err))
		}
		b.ReportMetric(bytes/(1<<20), name+"-MiB")
	}
}

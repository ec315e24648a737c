package sqlstore_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/sqlstore"
	"github.com/go-apikey/apikey/sqlstore/internal/sqltest"
)

// Of n keys the oldest tenth is acct_big's, which is where a walk through the
// newest finds them last; the next tenth is acct_dead's, which are revoked or
// expired; every other owner has ten. One in ten has an alias.
const (
	bigOwner   = "acct_big"
	deadOwner  = "acct_dead"
	smallOwner = "acct_small"
)

func bigKey(i, n int) *apikey.Key {
	k := testKey(i, fmt.Sprint("acct_", i/10))
	switch {
	case i < n/10:
		k.Owner = bigOwner
	case i%(n/10) == 7:
		k.Owner = smallOwner
	case i < n/5:
		k.Owner = deadOwner
		if i%2 == 0 {
			k.RevokedAt = k.CreatedAt
		} else {
			k.ExpiresAt = epoch.Add(-time.Second)
		}
	}
	if i%10 == 2 {
		k.Alias = fmt.Sprintf("~old:%d", i)
	}
	return k
}

// fill stores n keys, of which every second has been used.
func fill(tb testing.TB, s *sqlstore.Store, n int) {
	tb.Helper()
	err := s.Load(tb.Context(), n, func(i int) (*apikey.Record, apikey.Write, error) {
		k := bigKey(i, n)
		rec, err := apikey.NewRecord(k, apikey.SumToken(k.ID))
		return rec, write(k, -1), err
	})
	if err != nil {
		tb.Fatal(err)
	}
	const step = 10_000
	for from := 0; from < n; from += step {
		b := apikey.UsageBatch{Node: "n", Seq: int64(from/step) + 1}
		for i := from; i < min(from+step, n); i += 2 {
			b.Entries = append(b.Entries, usageEntry(bigKey(i, n).ID, 1))
		}
		if err := s.AddUsage(tb.Context(), b); err != nil {
			tb.Fatal(err)
		}
	}
	if err := s.Analyze(tb.Context()); err != nil {
		tb.Fatal(err)
	}
}

// asked are the questions of which the plans are asked, and how many rows of all
// tables together may be looked at for the answer. scan is how many keys one
// call with filters looks at, each for its place, for itself and for its usage.
func asked(n, scan int) map[string]question {
	none := epoch.Add(-time.Hour) // nothing is as old
	page := 3 * (51 + 51)         // the keys, their usage, and when it was
	few := 6 * 10                 // an owner's ten
	live := []apikey.State{apikey.StateActive, apikey.StateScheduled, apikey.StateDisabled, apikey.StateHeld}
	part := 3*scan + page
	of := func(most int, q apikey.Query) question {
		q.Limit, q.At = 50, epoch
		return question{q: q, most: most}
	}
	return map[string]question{
		"owner":                            of(page, apikey.Query{Owner: bigOwner}),
		"owner with few keys":              of(few, apikey.Query{Owner: smallOwner}),
		"all":                              of(page, apikey.Query{AllOwners: true}),
		"IDs":                              of(page, apikey.Query{AllOwners: true, IDs: []string{bigKey(n/2, n).ID, bigKey(1, n).ID}}),
		"text within an owner":             of(part, apikey.Query{Owner: bigOwner, Text: "key 12"}),
		"text within a small owner":        of(few, apikey.Query{Owner: smallOwner, Text: "key"}),
		"unused since, owner":              of(part, apikey.Query{Owner: bigOwner, UnusedSince: none}),
		"unused since":                     of(part, apikey.Query{AllOwners: true, UnusedSince: none}),
		"unused since, all of them":        of(part, apikey.Query{AllOwners: true, UnusedSince: epoch.Add(1e6 * time.Hour)}),
		"due for rotation and live":        of(0, apikey.Query{AllOwners: true, States: live, RotatedBefore: none}),
		"due for rotation and live, some":  of(5*10+page, apikey.Query{AllOwners: true, States: live, RotatedBefore: epoch.Add(10 * time.Second)}),
		"due for rotation and live, all":   of(part+scan+1, apikey.Query{AllOwners: true, States: live, RotatedBefore: epoch.Add(1e6 * time.Hour)}),
		"due for rotation, owner":          of(part, apikey.Query{Owner: bigOwner, RotatedBefore: none}),
		"due for rotation":                 of(part, apikey.Query{AllOwners: true, RotatedBefore: none}),
		"due for rotation, all of them":    of(part, apikey.Query{AllOwners: true, RotatedBefore: epoch.Add(1e6 * time.Hour)}),
		"expiring":                         of(part, apikey.Query{AllOwners: true, ExpiresBefore: epoch.Add(1e6 * time.Hour)}),
		"expired or revoked, of one owner": of(part, apikey.Query{Owner: bigOwner, States: []apikey.State{apikey.StateExpired, apikey.StateRevoked}}),
	}
}

type question struct {
	q    apikey.Query
	most int
}

// What the Store asks is answered by an index, and by few rows: a plan that
// reads an index from one end to the other would be no better than one that
// reads the table. With 3,000 keys a call with filters looks at 100 of them, so
// that a part is as small beside the whole as it is with a million; with
// APIKEY_LONG=1 there are a million, and it looks at 10,000.
func TestPlans(t *testing.T) {
	if testing.Short() {
		t.Skip("what a statement reads is no matter of concurrency, and the race detector makes filling the tables take minutes")
	}
	n, scan := 30000, 100
	if os.Getenv("APIKEY_LONG") != "" {
		n, scan = 1_000_000, 10_000
	}
	sqltest.Each(t, func(t *testing.T, d sqlstore.Dialect) {
		db := sqltest.Open(t, d)
		s := sqltest.StoreIn(t, db.DB, d, nil)
		s.SetScan(scan)
		fill(t, s, n)
		for name, ref := range map[string]string{"Get by ID": bigKey(n/2, n).ID, "Get by alias": bigKey(n/2+2, n).Alias} {
			sent, err := s.SentByGet(t.Context(), ref)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			few(t, db, d, name, sent, 1)
		}
		for name, k := range map[string]*apikey.Key{"many live keys": bigKey(1, n), "many dead keys": bigKey(n/10+1, n)} {
			const most = 20
			sent, err := s.SentByCount(t.Context(), record(t, k), write(k, most))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			few(t, db, d, "the cap of an owner with "+name, sent, most+1)
		}
		for name, ask := range asked(n, scan) {
			for page := range 25 {
				sent, answer, err := s.SentByList(t.Context(), ask.q)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if page < 2 || page == 24 { // what is skipped for a later one is looked at too
					few(t, db, d, fmt.Sprintf("%s, page %d", name, page+1), sent, ask.most)
				}
				if ask.q.After = answer.Next; answer.Next == "" {
					break
				}
			}
		}
	})
}

// The history of each owner and of each key is read by its index, from the page
// on that is asked for. One owner has a tenth of all, and so has one key.
func TestHistoryPlans(t *testing.T) {
	if testing.Short() {
		t.Skip("what a statement reads is no matter of concurrency, and the race detector makes filling the tables take minutes")
	}
	n := 30_000
	if os.Getenv("APIKEY_LONG") != "" {
		n = 1_000_000
	}
	sqltest.Each(t, func(t *testing.T, d sqlstore.Dialect) {
		db := sqltest.Open(t, d)
		s := sqltest.StoreIn(t, db.DB, d, nil)
		busy := bigKey(n/10+1, n)
		err := s.LoadHistory(t.Context(), n, func(i int) apikey.Change {
			k := bigKey(i, n)
			if k.Owner == deadOwner {
				k = busy
			}
			return write(k, -1).Change
		})
		if err != nil {
			t.Fatal(err)
		}
		for name, ask := range map[string]struct {
			q    apikey.HistoryQuery
			most int
		}{
			"all":                         {apikey.HistoryQuery{AllOwners: true}, 51},
			"owner":                       {apikey.HistoryQuery{Owner: bigOwner}, 51},
			"owner with few keys":         {apikey.HistoryQuery{Owner: smallOwner}, 10},
			"owner with none":             {apikey.HistoryQuery{Owner: "acct"}, 1},
			"key":                         {apikey.HistoryQuery{AllOwners: true, KeyID: bigKey(3, n).ID}, 1},
			"key with many":               {apikey.HistoryQuery{AllOwners: true, KeyID: busy.ID}, 51},
			"key of its owner":            {apikey.HistoryQuery{Owner: bigOwner, KeyID: bigKey(3, n).ID}, 1},
			"key with many, of its owner": {apikey.HistoryQuery{Owner: deadOwner, KeyID: busy.ID}, 51},
			"key with none":               {apikey.HistoryQuery{Owner: bigOwner, KeyID: "Unknown"}, 1},
		} {
			ask.q.Limit = 50
			for page := range 25 {
				sent, answer, err := s.SentByHistory(t.Context(), ask.q)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if page < 2 || page == 24 {
					few(t, db, d, fmt.Sprintf("history of %s, page %d", name, page+1), sent, ask.most)
				}
				if ask.q.After = answer.Next; answer.Next == "" {
					break
				}
			}
		}
	})
}

// A restored dump brings transaction numbers of the other server, which are far
// above: a poll reads none of them.
func TestPollPlanAfterRestore(t *testing.T) {
	sqltest.Need(t, sqlstore.PostgreSQL)
	db := sqltest.Open(t, sqlstore.PostgreSQL)
	s := sqltest.StoreIn(t, db.DB, sqlstore.PostgreSQL, nil)
	for _, text := range []string{
		`INSERT INTO apikey_history (xid, owner, key_id, alias, at, entry)
SELECT (1000000000000 + i)::text::xid8, 'acct', 'Key' || i, '', 0, '{}' FROM generate_series(1, 20000) i`,
		"ANALYZE apikey_history",
	} {
		if _, err := db.ExecContext(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	sent, err := s.SentByPoll(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	few(t, db, sqlstore.PostgreSQL, "poll", sent, 10)
}

// few holds the plans of what was sent to looking at no table as a whole and at
// most rows in all.
func few(t *testing.T, db *sqltest.Database, d sqlstore.Dialect, name string, sent []sqlstore.Sent, most int) {
	t.Helper()
	alternatives, texts := make([]float64, 2), make([]string, 2)
	for _, s := range sent {
		for i, p := range explain(t, db, d, s) {
			alternatives[i] += p.looked
			texts[i] += s.Text + "\n" + p.text
			if len(p.whole) > 0 {
				t.Errorf("%s: all of %v is read\n%s\n%s", name, p.whole, s.Text, p.text)
			}
		}
	}
	for i, looked := range alternatives {
		if looked > float64(most) {
			t.Errorf("%s: %.0f rows are looked at, want at most %d\n%v", name, looked, most, texts[i])
		}
	}
}

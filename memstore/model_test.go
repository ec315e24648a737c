package memstore_test

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/internal/secretwatch"
	"github.com/go-apikey/apikey/memstore"
)

// TestModel does the same random operations on a Store and on a model that is
// as plain as can be: both must answer the same.
func TestModel(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 0))
			s, m := memstore.New(), newModel()
			steps := []func(*testing.T, *rand.Rand, *memstore.Store, *model){
				stepCreate, stepCreate, stepUpdate, stepUpdate, stepUpdate, stepDelete, stepUsage, stepUsage, stepGet, stepSeries, stepList,
			}
			for range 4000 {
				steps[r.IntN(len(steps))](t, r, s, m)
				if t.Failed() {
					return
				}
			}
			checkHistory(t, s, m)
		})
	}
}

// TestModelOfManyKeys fills and empties many blocks of the indexes and parts of
// the table, in random order.
func TestModelOfManyKeys(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	s, m := memstore.New(), newModel()
	create := func(n int) {
		k := testKey(n / 3) // three at a time
		k.ID, k.Owner = keyID(n), fmt.Sprint("o", n%5)
		rec := newRecord(t, k)
		mustCreate(t, s, rec)
		sameError(t, "Create", nil, m.create(rec, apikey.Write{MaxKeys: -1}))
	}
	remove := func(n int) {
		if err := s.Delete(t.Context(), keyID(n), apikey.Write{}); err != nil {
			t.Fatal(err)
		}
		sameError(t, "Delete", nil, m.remove(keyID(n), apikey.Write{}))
	}
	const many = 6000
	for i, n := range r.Perm(many) {
		create(n)
		if i == many/2 {
			checkLists(t, s, m)
		}
	}
	checkLists(t, s, m)
	for _, n := range r.Perm(many)[:many*9/10] {
		remove(n)
	}
	checkLists(t, s, m)
	for n := many; n < 2*many; n++ {
		create(n)
	}
	checkLists(t, s, m)
	for id := range m.keys {
		if rec, err := s.Get(t.Context(), id); err != nil || rec.ID() != id {
			t.Fatalf("Get(%s): %v, %v", id, rec, err)
		}
	}
	for n := range 2 * many { // from the oldest end
		if m.keys[keyID(n)] != nil {
			remove(n)
		}
	}
	checkLists(t, s, m)
}

func checkLists(t *testing.T, s *memstore.Store, m *model) {
	t.Helper()
	for _, q := range []apikey.Query{{AllOwners: true, Limit: 1000}, {Owner: "o3", Limit: 7}} {
		if diff := gocmp.Diff(idsOf(m.list(q)), idsOf(listAll(t, s, q))); diff != "" {
			t.Fatalf("List differs from the model's (-want +got):\n%s", diff)
		}
	}
}

func idsOf(keys []*apikey.Key) (ids []string) {
	for _, k := range keys {
		ids = append(ids, k.ID)
	}
	return ids
}

// model is a Store for one goroutine, with nothing to make it fast.
type model struct {
	keys  map[string]*modelKey
	taken map[string]bool
	made  []apikey.Change
}

type modelKey struct {
	rec     *apikey.Record
	usage   apikey.Usage
	hours   map[time.Time]apikey.UsagePoint
	applied map[string]int64
}

func newModel() *model { return &model{keys: map[string]*modelKey{}, taken: map[string]bool{}} }

func (m *model) get(ref string) *modelKey {
	for _, k := range m.keys {
		if ref != "" && (k.rec.ID() == ref || k.rec.Alias() == ref) {
			return k
		}
	}
	return nil
}

func (m *model) atCap(rec *apikey.Record, w apikey.Write) bool {
	if w.MaxKeys < 0 {
		return false
	}
	live := 0
	for id, k := range m.keys {
		if id != rec.ID() && k.rec.Owner() == rec.Owner() && k.rec.Key().Live(w.At) {
			live++
		}
	}
	return live >= w.MaxKeys
}

func (m *model) create(rec *apikey.Record, w apikey.Write) error {
	id, alias := rec.ID(), rec.Alias()
	if m.taken[id] || alias != "" && m.taken[alias] {
		return apikey.ErrExists
	}
	if m.atCap(rec, w) {
		return apikey.ErrKeyQuota
	}
	m.taken[id] = true
	if alias != "" {
		m.taken[alias] = true
	}
	m.keys[id] = &modelKey{rec: rec, hours: map[time.Time]apikey.UsagePoint{}, applied: map[string]int64{}}
	m.made = append(m.made, w.Change)
	return nil
}

func (m *model) update(rec *apikey.Record, w apikey.Write) error {
	k := m.keys[rec.ID()]
	switch {
	case k == nil:
		return apikey.ErrNotFound
	case k.rec.Version()+1 != rec.Version():
		return apikey.ErrConflict
	case m.atCap(rec, w):
		return apikey.ErrKeyQuota
	}
	k.rec = rec
	m.made = append(m.made, w.Change)
	return nil
}

func (m *model) remove(id string, w apikey.Write) error {
	if m.keys[id] == nil {
		return apikey.ErrNotFound
	}
	delete(m.keys, id)
	m.made = append(m.made, w.Change)
	return nil
}

func (m *model) list(q apikey.Query) []*apikey.Key {
	var keys []*apikey.Key
	for _, mk := range m.keys {
		k := mk.rec.Key()
		k.Usage = mk.usage
		if q.Match(k) {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(a, b *apikey.Key) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(b.ID, a.ID))
	})
	return keys
}

func (m *model) addUsage(b apikey.UsageBatch) {
	applied := map[*modelKey]bool{}
	for _, e := range b.Entries {
		k := m.keys[e.KeyID]
		if k == nil || b.Seq <= k.applied[b.Node] {
			continue
		}
		applied[k] = true
		u := &k.usage
		u.Requests, u.Limited, u.Denied = u.Requests+e.Requests, u.Limited+e.Limited, u.Denied+e.Denied
		if e.LastUsed.After(u.LastUsedAt) {
			u.LastUsedAt = e.LastUsed
		}
		if e.LastUsed.After(u.LastUsed[e.Secret]) {
			if u.LastUsed == nil {
				u.LastUsed = map[uint32]time.Time{}
			}
			u.LastUsed[e.Secret] = e.LastUsed
		}
		if e.LastRefusal.At.After(u.LastRefusal.At) {
			u.LastRefusal = e.LastRefusal
		}
		if e.Requests+e.Limited+e.Denied > 0 {
			p := k.hours[e.Hour]
			k.hours[e.Hour] = apikey.UsagePoint{Hour: e.Hour, Requests: p.Requests + e.Requests, Limited: p.Limited + e.Limited, Denied: p.Denied + e.Denied}
		}
	}
	for k := range applied {
		k.applied[b.Node] = b.Seq
	}
}

// The population is small, so that operations meet: 60 IDs, 10 of them with an
// alias, 3 owners, 5 creation times.

func randomKey(r *rand.Rand) *apikey.Key {
	n := r.IntN(60)
	k := testKey(n % 5)
	k.ID, k.Owner, k.Environment = keyID(n), fmt.Sprint("o", n%3), []string{"live", "test"}[n%2]
	if n < 10 {
		k.Alias = fmt.Sprint("~scheme:", n%7) // some are taken twice
	}
	return k
}

func randomWrite(r *rand.Rand) apikey.Write {
	return apikey.Write{MaxKeys: r.IntN(20) - 1, Change: apikey.Change{
		At: start.Add(time.Duration(r.IntN(100)) * time.Hour), Owner: fmt.Sprint("o", r.IntN(3)), KeyID: keyID(r.IntN(60)),
		Fields: []apikey.FieldChange{{Name: "name", Old: fmt.Sprint(r.Int()), New: ""}},
	}}
}

func stepCreate(t *testing.T, r *rand.Rand, s *memstore.Store, m *model) {
	rec, w := newRecord(t, randomKey(r)), randomWrite(r)
	sameError(t, "Create", m.create(rec, w), s.Create(t.Context(), rec, w))
}

func stepUpdate(t *testing.T, r *rand.Rand, s *memstore.Store, m *model) {
	k := randomKey(r)
	if mk := m.keys[k.ID]; mk != nil {
		k = mk.rec.Key()
	}
	k.Version += int64(1 + r.IntN(6)/5)
	k.Name = fmt.Sprint("Name ", r.IntN(100))
	switch at := start.Add(time.Duration(r.IntN(100)) * time.Hour); r.IntN(4) {
	case 0:
		k.ExpiresAt = at
	case 1:
		k.RevokedAt = at
	case 2:
		k.RevokedAt = time.Time{} // the Manager would not
	}
	rec, w := newRecord(t, k), randomWrite(r)
	sameError(t, "Update", m.update(rec, w), s.Update(t.Context(), rec, w))
}

func stepDelete(t *testing.T, r *rand.Rand, s *memstore.Store, m *model) {
	id, w := keyID(r.IntN(60)), randomWrite(r)
	if r.IntN(4) > 0 { // else the tombstones soon end the game
		id = "absent"
	}
	sameError(t, "Delete", m.remove(id, w), s.Delete(t.Context(), id, w))
}

func stepGet(t *testing.T, r *rand.Rand, s *memstore.Store, m *model) {
	for _, ref := range []string{keyID(r.IntN(60)), fmt.Sprint("~scheme:", r.IntN(8)), "", "absent"} {
		rec, err := s.Get(t.Context(), ref)
		want := m.get(ref)
		if want == nil {
			sameError(t, "Get", apikey.ErrNotFound, err)
		} else if err != nil || rec != want.rec {
			t.Errorf("Get(%q) gave %v, %v; want %v", ref, rec, err, want.rec)
		}
	}
}

func stepUsage(t *testing.T, r *rand.Rand, s *memstore.Store, m *model) {
	b := apikey.UsageBatch{Node: fmt.Sprint("node ", r.IntN(3)), Seq: int64(1 + r.IntN(200))}
	for range r.IntN(6) {
		hour := start.Add(time.Duration(r.IntN(50)) * time.Hour)
		e := apikey.UsageEntry{KeyID: keyID(r.IntN(60)), Secret: uint32(1 + r.IntN(2)), Hour: hour}
		if r.IntN(2) == 0 {
			e.Requests, e.LastUsed = int64(1+r.IntN(9)), hour.Add(time.Duration(r.IntN(3600))*time.Second)
		}
		if r.IntN(3) == 0 {
			e.Limited, e.Denied = int64(r.IntN(3)), int64(1+r.IntN(3))
			e.LastRefusal = apikey.Refusal{At: hour.Add(time.Duration(r.Int64N(3600e6)) * time.Microsecond), Peer: netip.AddrFrom4([4]byte{10, 0, 0, byte(r.IntN(9))})}
		}
		b.Entries = append(b.Entries, e)
	}
	m.addUsage(b)
	for range 1 + r.IntN(2) { // repeating changes nothing
		sameError(t, "AddUsage", nil, s.AddUsage(t.Context(), b))
	}
}

func stepSeries(t *testing.T, r *rand.Rand, s *memstore.Store, m *model) {
	id := keyID(r.IntN(60))
	q := apikey.UsageQuery{From: start.Add(time.Duration(r.IntN(30)) * time.Hour)}
	if r.IntN(2) == 0 {
		q.To = start.Add(time.Duration(r.IntN(60)) * time.Hour)
	}
	var want []apikey.UsagePoint
	if k := m.keys[id]; k != nil {
		for hour, p := range k.hours {
			if !hour.Before(q.From) && (q.To.IsZero() || hour.Before(q.To)) {
				want = append(want, p)
			}
		}
		slices.SortFunc(want, func(a, b apikey.UsagePoint) int { return a.Hour.Compare(b.Hour) })
	}
	got, err := s.Usage(t.Context(), id, q)
	sameError(t, "Usage", nil, err)
	compare(t, "Usage", want, got)
}

func stepList(t *testing.T, r *rand.Rand, s *memstore.Store, m *model) {
	q := apikey.Query{AllOwners: r.IntN(3) == 0, Owner: fmt.Sprint("o", r.IntN(4)), At: start.Add(time.Duration(r.IntN(100)) * time.Hour), Limit: 1 + r.IntN(20)}
	maybe := func(set func()) {
		if r.IntN(4) == 0 {
			set()
		}
	}
	maybe(func() { q.Environment = "live" })
	maybe(func() { q.States = []apikey.State{apikey.StateActive, apikey.StateExpired} })
	maybe(func() { q.UnusedSince = start.Add(time.Duration(r.IntN(60)) * time.Hour) })
	maybe(func() { q.ExpiresBefore = q.At })
	maybe(func() { q.Text = fmt.Sprint("NAME ", r.IntN(10)) })
	maybe(func() {
		for range r.IntN(40) {
			q.IDs = append(q.IDs, keyID(r.IntN(60)))
		}
	})
	compare(t, "List", m.list(q), listAll(t, s, q))
}

func listAll(t *testing.T, s *memstore.Store, q apikey.Query) (keys []*apikey.Key) {
	t.Helper()
	for {
		page, err := s.List(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Keys) > q.Limit {
			t.Errorf("a page of %d keys, the limit is %d", len(page.Keys), q.Limit)
		}
		keys = append(keys, page.Keys...)
		if q.After = page.Next; q.After == "" {
			return keys
		}
	}
}

func checkHistory(t *testing.T, s *memstore.Store, m *model) {
	t.Helper()
	for _, q := range []apikey.HistoryQuery{{AllOwners: true, Limit: 100}, {Owner: "o1", Limit: 3}, {Owner: "o1", KeyID: keyID(7), Limit: 1}, {Limit: 5}} {
		var want, got []apikey.Change
		for _, c := range slices.Backward(m.made) {
			if (q.AllOwners || c.Owner == q.Owner) && (q.KeyID == "" || c.KeyID == q.KeyID) {
				want = append(want, c)
			}
		}
		for {
			page, err := s.History(t.Context(), q)
			sameError(t, "History", nil, err)
			got = append(got, page.Changes...)
			if q.After = page.Next; q.After == "" {
				break
			}
		}
		compare(t, "History", want, got)
	}
}

func compare(t *testing.T, what string, want, got any) {
	t.Helper()
	if diff := gocmp.Diff(want, got, usageCmp); diff != "" {
		t.Errorf("%s differs from the model's (-want +got):\n%s", what, diff)
	}
}

func sameError(t *testing.T, what string, want, got error) {
	t.Helper()
	if !errors.Is(secretwatch.Error(t.Name(), got), want) || want == nil && got != nil {
		t.Errorf("%s gave %v, want %v", what, got, want)
	}
}

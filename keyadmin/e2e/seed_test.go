package e2e_test

import (
	"fmt"
	"math"
	"net/netip"
	"testing"
	"time"

	"github.com/go-apikey/apikey"
)

// ids are those of seeded keys, by name.
type ids map[string]string

// seed fills northwind with keys as they come to be over a year.
func (w *world) seed(t *testing.T) ids {
	t.Helper()
	ctx, keys, out := t.Context(), w.manager.Keyring("northwind", apikey.Operator("ana@northwind.example")), ids{}
	const day = 24 * time.Hour
	mint := func(age time.Duration, p apikey.KeyParams) string {
		w.set(func() { w.offset = -age })
		issued, err := keys.Create(ctx, p)
		if err != nil {
			t.Fatal(err)
		}
		out[p.Name] = issued.Key.ID
		return issued.Key.ID
	}
	check := func(_ *apikey.Key, err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	w.set(func() { w.offset = -400 * day })
	legacy, err := keys.Import(ctx, apikey.ImportParams{
		KeyParams: apikey.KeyParams{Name: "Legacy importer", Permissions: apikey.Permissions{"documents:generate"}}, Token: "fm_4f9c2a7be01d4c6f8a3b5d7e",
	})
	check(legacy, err)
	out["Legacy importer"] = legacy.ID
	mint(240*day, apikey.KeyParams{Name: "Trial integration", Prefix: "nw_test_", Permissions: apikey.Permissions{"*:read"}, ExpiresAt: began.Add(-210 * day)})
	gone := mint(200*day, apikey.KeyParams{Name: "Old dashboard", Permissions: apikey.Permissions{"analytics:read"}})
	check(keys.Revoke(ctx, gone))
	mint(150*day, apikey.KeyParams{Name: "Data warehouse export", Description: "Nightly, from the warehouse in Frankfurt.", Permissions: apikey.Permissions{"*:read"}, Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	off := mint(75*day, apikey.KeyParams{Name: "Partner: Contoso", Permissions: apikey.Permissions{"documents:read", "templates:read", "analytics:read"}})
	check(keys.Disable(ctx, off))
	held := mint(60*day, apikey.KeyParams{Name: "Load test", Prefix: "nw_test_", Permissions: apikey.Permissions{"documents:generate"}})
	check(w.manager.Keyring("northwind", support).Hold(ctx, held))
	ci := mint(45*day, apikey.KeyParams{Name: "CI pipeline", Prefix: "nw_test_", Permissions: apikey.Permissions{"documents:generate", "documents:read", "templates:manage"}, ExpiresAt: began.Add(45 * day)})
	main := mint(30*day, apikey.KeyParams{Name: "Production server", Description: "Renders invoices and delivery notes for the shop.", Permissions: apikey.Permissions{"documents:generate", "documents:read"}})
	mint(2*day, apikey.KeyParams{Name: "Autumn campaign", Permissions: apikey.Permissions{"documents:generate"}, NotBefore: began.Add(60 * day)})
	w.set(func() { w.offset = -20 * time.Hour })
	_, err = keys.Rotate(ctx, main, apikey.RotateParams{Grace: 7 * day})
	if err != nil {
		t.Fatal(err)
	}
	w.set(func() { w.offset = 0 })
	w.use(t, 1, main, 30*24, 180, 2)
	w.use(t, 2, main, 19, 60, 0)
	w.use(t, 1, ci, 24*20, 12, 1)
	w.use(t, 1, out["Data warehouse export"], 24*6, 30, 0)
	w.use(t, 1, legacy.ID, 24*30, 4, 0)
	return out
}

// use is what a key was used for in the last hours: more by day than by night.
func (w *world) use(t *testing.T, secret uint32, id string, hours, most, refused int) {
	t.Helper()
	hour := w.now().Truncate(time.Hour)
	for i := 0; i < hours; i += 200 {
		batch := apikey.UsageBatch{Node: fmt.Sprintf("seed-%s-%d-%04d-node", id, secret, i)[:22], Seq: 1}
		for j := min(hours, i+200) - 1; j >= i; j-- {
			at := hour.Add(-time.Duration(j) * time.Hour)
			wave := 0.55 + 0.45*math.Sin(float64(at.Hour()-9)/24*2*math.Pi)
			n := int64(float64(most) * wave * (0.8 + 0.4*math.Abs(math.Sin(float64(j)*1.7))))
			e := apikey.UsageEntry{KeyID: id, Secret: secret, Hour: at, Requests: n, LastUsed: at.Add(14 * time.Minute)}
			if refused > 0 && j%9 == 4 {
				e.Limited, e.Denied = int64(most/9), int64(refused)
				e.LastRefusal = apikey.Refusal{At: at.Add(12 * time.Minute), Peer: netip.MustParseAddr("203.0.113.9"), Reason: apikey.ReasonPermission}
			}
			batch.Entries = append(batch.Entries, e)
		}
		batch.Node = fmt.Sprintf("%s%d%09d", id, secret, i)[:22]
		if err := w.store.AddUsage(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
}

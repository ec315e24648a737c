package keyadmin_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/keyadmin"
)

// BenchmarkList is the list of 50 of 100,000 keys, beside the Store's own List
// and marshalling that page, in turns. It may take half as long again.
func BenchmarkList(b *testing.B) {
	w := newWorld(b)
	w.set(func() { w.plans["acme"] = apikey.Plan{Name: "all", MaxKeys: apikey.NoCap} })
	keys := w.manager.Keyring("acme", support)
	for i := range 100_000 {
		if _, err := keys.Create(b.Context(), apikey.KeyParams{
			Name: fmt.Sprintf("Key %d of the service", i), Description: "Made to be listed.", Permissions: apikey.Permissions{"jobs:read", "jobs:write"},
			ExpiresAt: start.AddDate(1, 0, 0),
		}); err != nil {
			b.Fatal(err)
		}
	}
	h, err := keyadmin.New(w.manager, &keyadmin.Config{Identify: func(*http.Request) (*keyadmin.Session, error) { return w.people["ana"], nil }})
	if err != nil {
		b.Fatal(err)
	}
	floor := func() {
		page, err := w.store.List(b.Context(), apikey.Query{Owner: "acme", Limit: 50, At: start})
		if err != nil || len(page.Keys) != 50 {
			b.Fatal(len(page.Keys), err)
		}
		if _, err := json.Marshal(page); err != nil {
			b.Fatal(err)
		}
	}
	r := httptest.NewRequest("GET", "/keys?limit=50", nil)
	list := func() {
		answer := &sink{header: http.Header{}}
		h.ServeHTTP(answer, r.Clone(b.Context()))
		if answer.status != http.StatusOK || answer.bytes < 50*300 {
			b.Fatal(answer)
		}
	}
	const calls = 50
	took := func(f func()) float64 {
		begin := time.Now()
		for range calls {
			f()
		}
		return float64(time.Since(begin)) / calls
	}
	var floors, lists, ratios []float64
	took(floor)
	took(list)
	for b.Loop() {
		f, l := took(floor), took(list)
		floors, lists, ratios = append(floors, f), append(lists, l), append(ratios, l/f)
	}
	for _, s := range [][]float64{floors, lists, ratios} {
		slices.Sort(s)
	}
	middle := len(ratios) / 2
	b.ReportMetric(floors[middle]/1e3, "floor-µs")
	b.ReportMetric(lists[middle]/1e3, "list-µs")
	b.ReportMetric(ratios[middle], "×floor")
	b.ReportMetric(0, "ns/op")
	if len(ratios) >= 20 && ratios[middle] > 1.5 {
		b.Errorf("the list takes %.2f times what the Store's List and json.Marshal take, want at most 1.5", ratios[middle])
	}
}

// sink takes an answer as a connection does: without keeping it.
type sink struct {
	header        http.Header
	status, bytes int
}

func (s *sink) Header() http.Header { return s.header }

func (s *sink) WriteHeader(status int) { s.status = status }

func (s *sink) Write(p []byte) (int, error) {
	s.bytes += len(p)
	return len(p), nil
}

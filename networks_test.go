package apikey_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/internal/secretwatch"
	"github.com/go-apikey/apikey/memstore"
)

func prefixes(s ...string) (out []netip.Prefix) {
	for _, p := range s {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

func TestNetworksAdmit(t *testing.T) {
	w := newWorld(t)
	issued := must[*apikey.Issued](t)(w.ring().Create(t.Context(), apikey.KeyParams{
		Name: "a", Networks: prefixes("2001:db8:1::1/48", "192.0.2.77/24", "::ffff:198.51.100.0/120", "192.0.2.0/24"),
	}))
	if diff := cmp.Diff(prefixes("192.0.2.0/24", "198.51.100.0/24", "2001:db8:1::/48"), issued.Key.Networks, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
		t.Errorf("networks (-want +got):\n%s", diff)
	}
	for _, tc := range []struct {
		peer  string
		admit bool
	}{
		{"192.0.2.1", true},
		{"::ffff:192.0.2.1", true},
		{"198.51.100.255", true},
		{"2001:db8:1:ffff::", true},
		{"192.0.3.1", false},
		{"2001:db8:2::", false},
		{"", false}, // not known
	} {
		var peer netip.Addr
		if tc.peer != "" {
			peer = netip.MustParseAddr(tc.peer)
		}
		_, _, err := w.Verify(t.Context(), apikey.Request{Token: issued.Token.Reveal(), Peer: peer})
		denial, denied := errors.AsType[*apikey.Denial](err)
		switch {
		case tc.admit && err != nil:
			t.Errorf("from %q: %v", tc.peer, err)
		case !tc.admit && (!denied || denial.Reason != apikey.ReasonInvalid || denial.KeyID != issued.Key.ID || denial.Peer != peer):
			t.Errorf("from %q: %v, %+v", tc.peer, err, denial)
		}
	}
	if u := usageOf(t, w, issued.Key.ID).Usage; u.Requests != 4 || u.Denied != 3 {
		t.Errorf("usage %+v", u)
	}
	must[*apikey.Key](t)(w.ring().Update(t.Context(), issued.Key.ID, apikey.KeyUpdate{Networks: new([]netip.Prefix)}))
	if _, _, err := w.Verify(t.Context(), apikey.Request{Token: issued.Token.Reveal()}); err != nil {
		t.Errorf("from anywhere again: %v", err)
	}
}

// TestOffNetworkTellsNothing: not even that the key is revoked.
func TestOffNetworkTellsNothing(t *testing.T) {
	w := newWorld(t)
	issued := must[*apikey.Issued](t)(w.ring().Create(t.Context(), apikey.KeyParams{Name: "a", Networks: prefixes("192.0.2.0/24")}))
	unknown := must[*apikey.Issued](t)(newWorld(t).ring().Create(t.Context(), apikey.KeyParams{Name: "gone"}))
	must[*apikey.Key](t)(w.ring().Revoke(t.Context(), issued.Key.ID))
	answer := func(token string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = "198.51.100.7:1"
		r.Header.Set("Authorization", "Bearer "+token)
		rec := secretwatch.Recorder(t)
		w.Require()(http.NotFoundHandler()).ServeHTTP(rec, r)
		return rec
	}
	got, want := answer(issued.Token.Reveal()), answer(unknown.Token.Reveal())
	if got.Code != want.Code || got.Body.String() != want.Body.String() {
		t.Errorf("off network: %d %s; unknown key: %d %s", got.Code, got.Body, want.Code, want.Body)
	}
	if diff := cmp.Diff(want.Header(), got.Header()); diff != "" {
		t.Errorf("headers (-unknown key +off network):\n%s", diff)
	}
}

func TestNetworksRefused(t *testing.T) {
	w := newWorld(t)
	many := make([]netip.Prefix, 65)
	for i := range many {
		many[i] = netip.MustParsePrefix(fmt.Sprintf("10.0.%d.0/24", i))
	}
	for name, tc := range map[string]struct {
		networks []netip.Prefix
		field    string
	}{
		"too many":               {many, "Networks"},
		"zero":                   {[]netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), {}}, "Networks[1]"},
		"wider than its mapping": {prefixes("::ffff:0:0/90"), "Networks[0]"},
	} {
		_, err := w.ring().Create(t.Context(), apikey.KeyParams{Name: "a", Networks: tc.networks})
		invalid, ok := errors.AsType[*apikey.InvalidError](err)
		if !ok || len(invalid.Fields) != 1 || invalid.Fields[0].Field != tc.field {
			t.Errorf("%s: %v, want a fault in %s", name, err, tc.field)
		}
	}
	_, err := apikey.New(memstore.New(), &apikey.Config{HTTP: apikey.HTTPConfig{TrustedProxies: []netip.Prefix{{}}}})
	if invalid, ok := errors.AsType[*apikey.InvalidError](err); !ok || invalid.Fields[0].Field != "HTTP.TrustedProxies[0]" {
		t.Errorf("config: %v", err)
	}
}

package apikey_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/internal/secretwatch"
	"github.com/go-apikey/apikey/memstore"
)

const (
	weakToken = "k7.correct-horse-battery"
	weakScope = "weak"
)

// weakScheme is of tokens with a locator, hashed by whatever.
func weakScheme() apikey.Scheme {
	return apikey.Scheme{Name: weakScope, Separator: '.', MinLen: 20, MaxLen: 40, Slow: true}
}

func bcryptOf(t testing.TB, token string, cost int) apikey.Digest {
	t.Helper()
	text, err := bcrypt.GenerateFromPassword([]byte(token), cost)
	if err != nil {
		t.Fatal(err)
	}
	return parseDigest(t, string(text))
}

func parseDigest(t testing.TB, s string) apikey.Digest {
	t.Helper()
	d, err := apikey.ParseDigest(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func hexOf(s string) string { return hex.EncodeToString([]byte(s)) }

func importKey(t testing.TB, m *apikey.Manager, p apikey.ImportParams) *apikey.Key {
	t.Helper()
	if p.Name == "" {
		p.Name = "from elsewhere"
	}
	if p.Token != "" {
		secretwatch.Add(p.Token)
	}
	k, err := m.Keyring("acct_42", apikey.Operator("test")).Import(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// A fast digest takes the place of another at the first good use, but for that
// of a token that could be guessed from it.
func TestForeignDigestIsReplaced(t *testing.T) {
	t.Parallel()
	sha := parseDigest(t, hexOf(sha256Of(weakToken)))
	salted := must[apikey.Digest](t)(apikey.ParseSaltedDigest(hexOf(sha256Of("salt"+weakToken)), []byte("salt"), apikey.SaltBefore))
	slow := bcryptOf(t, weakToken, 4)
	for _, tt := range []struct {
		name     string
		digest   apikey.Digest
		bits     int
		pepper   bool
		replaced bool
	}{
		{"SHA-256: it is ours already", sha, 0, false, false},
		{"SHA-256, with a pepper", sha, 0, true, true},
		{"salted SHA-256", salted, 0, false, true},
		{"bcrypt", slow, 0, false, false},
		{"bcrypt, 111 bits", slow, 111, false, false},
		{"bcrypt, 112 bits", slow, 112, false, true},
		{"bcrypt, with a pepper", slow, 0, true, true},
	} {
		s := weakScheme()
		s.SecretBits = tt.bits
		cfg := &apikey.Config{Schemes: []apikey.Scheme{s}}
		if tt.pepper {
			cfg.Peppers = []apikey.Pepper{mustPepper(t, 1)}
		}
		store := memstore.New()
		m := newManagerOn(t, store, cfg)
		key := importKey(t, m, apikey.ImportParams{Scheme: weakScope, Locator: "k7", Digest: tt.digest})
		for range 3 {
			if _, _, err := m.Verify(t.Context(), apikey.Request{Token: weakToken}); err != nil {
				t.Fatalf("%s: %v", tt.name, err)
			}
			if _, _, err := m.Verify(t.Context(), apikey.Request{Token: weakToken + "x"}); reasonOf(err) != apikey.ReasonInvalid {
				t.Errorf("%s, a wrong token: %v", tt.name, err)
			}
			if err := m.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		closeManager(t, m) // so that nothing is on its way to the store any more
		got := must[apikey.Page](t)(store.List(t.Context(), apikey.Query{Owner: "acct_42", IDs: []string{key.ID}, Limit: 1})).Keys[0]
		if replaced := got.Version == 2; replaced != tt.replaced || got.Version > 2 {
			t.Errorf("%s: version %d, so it is replaced: %t; want %t", tt.name, got.Version, replaced, tt.replaced)
		}
		if got.Secrets[0].Scheme != weakScope || got.Usage.Requests != 3 {
			t.Errorf("%s: scheme %q, %d requests", tt.name, got.Secrets[0].Scheme, got.Usage.Requests)
		}
	}
}

// A failure to replace a digest refuses nobody, and what somebody changed
// between the use and the replacing stands.
func TestForeignDigestReplacedOverNothing(t *testing.T) {
	t.Parallel()
	s := weakScheme()
	r := newRig(t, func(c *apikey.Config) {
		s.Environment = "live"
		c.Schemes = []apikey.Scheme{s}
		c.Peppers = []apikey.Pepper{mustPepper(t, 1)}
		c.FlushInterval = time.Hour
	})
	ring := r.as(operator)
	importOne := func(name string) (id, token string) {
		token = name + ".0123456789abcdef"
		key := must[*apikey.Key](t)(ring.Import(t.Context(), apikey.ImportParams{
			KeyParams: apikey.KeyParams{Name: name}, Scheme: weakScope, Locator: name, Digest: parseDigest(t, hexOf(sha256Of(token))),
		}))
		return key.ID, token
	}
	id, token := importOne("kept")
	r.store.fail(func(_ context.Context, c storeCall, apply func() error) error {
		if c.op == "update" {
			return errors.New("disk full")
		}
		return apply()
	})
	for range 3 {
		if _, _, err := r.Verify(t.Context(), apikey.Request{Token: token}); err != nil {
			t.Errorf("while its digest cannot be replaced: %v", err)
		}
		_ = r.Flush(t.Context())
	}
	if n := len(r.eventsOf(apikey.EventRehash)); n == 0 || r.get(id).Version != 1 {
		t.Errorf("%d events tell of it, version %d", n, r.get(id).Version)
	}
	r.store.fail(nil)
	for name, change := range map[string]func(context.Context, string) error{
		"revoked":  func(ctx context.Context, id string) error { _, err := ring.Revoke(ctx, id); return err },
		"disabled": func(ctx context.Context, id string) error { _, err := ring.Disable(ctx, id); return err },
		"rotated": func(ctx context.Context, id string) error {
			_, err := ring.Rotate(ctx, id, apikey.RotateParams{})
			return err
		},
	} {
		id, token := importOne(name)
		var wg sync.WaitGroup
		for range 8 { // beside the change
			wg.Go(func() { _, _, _ = r.Verify(t.Context(), apikey.Request{Token: token}) })
		}
		if err := change(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		if err := r.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, _, err := r.Verify(t.Context(), apikey.Request{Token: token}); string(reasonOf(err)) != name {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Few slow hashes run at once, one for each key; what comes meanwhile is 503.
func TestSlowHashesAreFew(t *testing.T) {
	t.Parallel()
	m := newManager(t, &apikey.Config{Schemes: []apikey.Scheme{weakScheme()}})
	key := importKey(t, m, apikey.ImportParams{Scheme: weakScope, Locator: "k7", Digest: bcryptOf(t, weakToken, 4)})
	_, native := issue(t, m, apikey.KeyParams{})
	h := m.Require()(noContent)
	serve := func(token string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("X-Api-Key", token)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	for name, busy := range map[string][]string{"all are busy": nil, "its own is running": {key.ID}} {
		release := m.FillSlowGate(busy...)
		for _, token := range []string{weakToken, weakToken + "x"} {
			if w := serve(token); w.Code != 503 || w.Header().Get("Retry-After") != "1" || w.Header().Get("Www-Authenticate") != "" {
				t.Errorf("%s: %d, Retry-After %q", name, w.Code, w.Header().Get("Retry-After"))
			}
		}
		if w := serve(native); w.Code != 204 {
			t.Errorf("%s: a native token gets %d", name, w.Code)
		}
		release()
		if w := serve(weakToken); w.Code != 204 {
			t.Errorf("%s: afterwards %d", name, w.Code)
		}
	}
	var wg sync.WaitGroup // as many as come: none is refused as invalid, and the gate is empty at the end
	for range 20 {
		wg.Go(func() {
			if w := serve(weakToken); w.Code != 204 && w.Code != 503 {
				t.Errorf("%d", w.Code)
			}
		})
	}
	wg.Wait()
	if w := serve(weakToken); w.Code != 204 {
		t.Errorf("afterwards %d", w.Code)
	}
}

// Over the limit of failed attempts a slow token is refused before it costs a
// store call or a hash; all others are looked at, and good ones pass.
func TestThrottledSlowScheme(t *testing.T) {
	t.Parallel()
	store := &countingStore{Store: memstore.New()}
	var events []apikey.Event
	fast := opaqueScheme
	m := newManagerOn(t, store, &apikey.Config{
		Schemes:        []apikey.Scheme{weakScheme(), fast},
		FailedAttempts: apikey.Limit{Name: "bad", N: 3, Per: time.Hour},
		OnEvent:        func(_ context.Context, e apikey.Event) { events = append(events, e) },
	})
	fastToken := "fm_0123456789abcdefghijABCDEFGHIJ01"
	importKey(t, m, apikey.ImportParams{Scheme: weakScope, Locator: "k7", Digest: bcryptOf(t, weakToken, 4)})
	importKey(t, m, apikey.ImportParams{Token: fastToken})
	_, native := issue(t, m, apikey.KeyParams{})
	peer := netip.MustParseAddr("192.0.2.7")
	verify := func(token string) apikey.Reason {
		_, _, err := m.Verify(t.Context(), apikey.Request{Token: token, Peer: peer})
		return reasonOf(err)
	}
	for i := range 3 {
		if got := verify(weakToken + "xyz"[i:i+1]); got != apikey.ReasonInvalid {
			t.Fatalf("bad token %d: %s", i, got)
		}
	}
	events = nil
	before := store.gets.Load()
	for range 3 {
		if got := verify(weakToken); got != apikey.ReasonThrottled { // a good one, unseen
			t.Errorf("slow, over the limit: %q", got)
		}
	}
	if n := store.gets.Load() - before; n != 0 {
		t.Errorf("%d store calls for what is refused unseen", n)
	}
	if len(events) != 1 || events[0].Reason != apikey.ReasonThrottled {
		t.Errorf("events: %+v, want one that tells of the peer", events)
	}
	for _, token := range []string{native, fastToken} {
		if got := verify(token); got != "" {
			t.Errorf("a good fast token: %s", got)
		}
	}
	if got := verify("fm_0123456789abcdefghijABCDEFGHIJ02"); got != apikey.ReasonThrottled {
		t.Errorf("a bad fast token: %q", got)
	}
	peer = netip.MustParseAddr("192.0.2.8")
	if got := verify(weakToken); got != "" {
		t.Errorf("of another peer: %s", got)
	}
}

func TestImportForeignRefused(t *testing.T) {
	t.Parallel()
	hmac := weakScheme()
	hmac.Name, hmac.Separator, hmac.HMAC = "hmac", ':', mustPepper(t, 9)
	fast := weakScheme()
	fast.Name, fast.Separator, fast.Slow = "fast", '!', false
	number := sanctumScheme
	store := memstore.New()
	m := newManagerOn(t, store, &apikey.Config{
		Formats: []apikey.Format{{Prefix: "rg_live_", Environment: ""}},
		Schemes: []apikey.Scheme{weakScheme(), hmac, fast, number, opaqueScheme},
	})
	sha, slow := parseDigest(t, hexOf(sha256Of("x"))), bcryptOf(t, "x", 4)
	sha512 := parseDigest(t, strings.Repeat("ab", 64))
	for _, tt := range []struct {
		name  string
		p     apikey.ImportParams
		field string
	}{
		{"no such scheme", apikey.ImportParams{Scheme: "nosuch", Locator: "1", Digest: sha}, "Scheme"},
		{"no digest", apikey.ImportParams{Scheme: weakScope, Locator: "1"}, "Digest"},
		{"no locator", apikey.ImportParams{Scheme: weakScope, Digest: sha}, "Locator"},
		{"locator of other bytes", apikey.ImportParams{Scheme: weakScope, Locator: "a.b", Digest: sha}, "Locator"},
		{"long locator", apikey.ImportParams{Scheme: weakScope, Locator: strings.Repeat("a", 129), Digest: sha}, "Locator"},
		{"locator in another spelling", apikey.ImportParams{Scheme: "sanctum", Locator: "042", Digest: sha}, "Locator"},
		{"locator that is no number", apikey.ImportParams{Scheme: "sanctum", Locator: "4a", Digest: sha}, "Locator"},
		{"locator of an opaque token", apikey.ImportParams{Scheme: "fm", Locator: "1", Digest: sha}, "Locator"},
		{"SHA-512 of an opaque token", apikey.ImportParams{Scheme: "fm", Digest: sha512}, "Digest"},
		{"slow hash of an opaque token", apikey.ImportParams{Scheme: "fm", Digest: slow}, "Digest"},
		{"slow hash where none is allowed", apikey.ImportParams{Scheme: "fast", Locator: "1", Digest: slow}, "Digest"},
		{"other than HMAC", apikey.ImportParams{Scheme: "hmac", Locator: "1", Digest: slow}, "Digest"},
		{"a native prefix", apikey.ImportParams{KeyParams: apikey.KeyParams{Prefix: "rg_live_"}, Scheme: weakScope, Locator: "1", Digest: sha}, "Prefix"},
		{"a native ID", apikey.ImportParams{ID: "0123456789ab", Scheme: weakScope, Locator: "1", Digest: sha}, "Prefix"},
		{"another environment", apikey.ImportParams{KeyParams: apikey.KeyParams{Environment: "test"}, Scheme: weakScope, Locator: "1", Digest: sha}, "Environment"},
		{"token and digest", apikey.ImportParams{Token: weakToken, Digest: sha}, "Token"},
		{"token and locator", apikey.ImportParams{Token: weakToken, Locator: "k7"}, "Token"},
		{"token of another scheme", apikey.ImportParams{Token: "fm_0123456789abcdefghijABCDEFGHIJ01", Scheme: weakScope}, "Token"},
		{"token of none", apikey.ImportParams{Token: "nothing"}, "Token"},
		{"token that a fast digest would give away", apikey.ImportParams{Token: weakToken}, "Token"},
		{"a foreign digest of a native token", apikey.ImportParams{KeyParams: apikey.KeyParams{Prefix: "rg_live_"}, ID: "0123456789ab", Digest: slow}, "Digest"},
		{"a locator of a native token", apikey.ImportParams{KeyParams: apikey.KeyParams{Prefix: "rg_live_"}, ID: "0123456789ab", Locator: "1", Digest: sha}, "Locator"},
		{"nothing", apikey.ImportParams{}, "Prefix"},
	} {
		tt.p.Name = tt.name
		_, err := m.Keyring("acct_42", apikey.Operator("test")).Import(t.Context(), tt.p)
		invalid, ok := errors.AsType[*apikey.InvalidError](err)
		if !ok || !slices.ContainsFunc(invalid.Fields, func(f apikey.FieldError) bool { return f.Field == tt.field }) {
			t.Errorf("%s: %v, want a fault in %s", tt.name, err, tt.field)
		}
	}
	if page := must[apikey.Page](t)(m.List(t.Context(), apikey.Query{AllOwners: true})); len(page.Keys) != 0 {
		t.Errorf("%d keys were stored", len(page.Keys))
	}
	member := apikey.Actor{ID: "member", Ceiling: apikey.Permissions{"*"}}
	if _, err := m.Keyring("acct_42", member).Import(t.Context(), apikey.ImportParams{Scheme: weakScope, Locator: "1", Digest: sha}); !errors.Is(err, apikey.ErrForbidden) {
		t.Errorf("who is no operator: %v", err)
	}
}

// A key whose digest can no longer be checked, or costs too much, is a failure
// of the service, not of the client.
func TestForeignDigestThatCannotBeChecked(t *testing.T) {
	t.Parallel()
	keyed := weakScheme()
	keyed.HMAC = mustPepper(t, 9)
	store := memstore.New()
	m := newManagerOn(t, store, &apikey.Config{Schemes: []apikey.Scheme{keyed}})
	importKey(t, m, apikey.ImportParams{Scheme: weakScope, Locator: "k7", Digest: parseDigest(t, hexOf(sha256Of("any")))})
	if _, _, err := m.Verify(t.Context(), apikey.Request{Token: weakToken}); reasonOf(err) != apikey.ReasonInvalid {
		t.Errorf("wrong under the key: %v", err)
	}
	closeManager(t, m)
	m = newManagerOn(t, store, &apikey.Config{Schemes: []apikey.Scheme{weakScheme()}})
	if _, _, err := m.Verify(t.Context(), apikey.Request{Token: weakToken}); !isUnavailable(err, "pepper") {
		t.Errorf("without the key: %v", err)
	}
	slow := bcryptOf(t, weakToken, 4)
	m = newManagerOn(t, store, &apikey.Config{Schemes: []apikey.Scheme{weakScheme()}})
	importKey(t, m, apikey.ImportParams{Scheme: weakScope, Locator: "k8", Digest: slow})
	closeManager(t, m)
	fast := weakScheme()
	fast.Slow = false
	m = newManagerOn(t, store, &apikey.Config{Schemes: []apikey.Scheme{fast}})
	if _, _, err := m.Verify(t.Context(), apikey.Request{Token: "k8" + weakToken[2:]}); !isUnavailable(err, "digest") {
		t.Errorf("slow, where it is no longer allowed: %v", err)
	}
	panics := weakScheme()
	panics.Separator, panics.Bytes, panics.Split = 0, ".", func(token string) (string, string, bool) { panic(token) }
	m = newManager(t, &apikey.Config{Schemes: []apikey.Scheme{panics}})
	_, _, err := m.Verify(t.Context(), apikey.Request{Token: weakToken})
	if !isUnavailable(err, "scheme") || strings.Contains(err.Error(), weakToken) {
		t.Errorf("Split panics: %v", err)
	}
	for name, split := range map[string]func(string) (string, string, bool){
		"another spelling": func(s string) (string, string, bool) { return "K7", s[3:], true },
		"letters left out": func(s string) (string, string, bool) { return "7", s[3:], true },
		"secret made up":   func(string) (string, string, bool) { return "k7", "made-up", true },
		"turned round":     func(s string) (string, string, bool) { return s[3:9], s[9:], true },
	} {
		s := weakScheme()
		s.Separator, s.Bytes, s.Split = 0, ".", split
		m := newManager(t, &apikey.Config{Schemes: []apikey.Scheme{s}})
		if _, _, err := m.Verify(t.Context(), apikey.Request{Token: weakToken}); !isUnavailable(err, "scheme") {
			t.Errorf("Split, %s: %v", name, err)
		}
	}
}

func isUnavailable(err error, op string) bool {
	u, ok := errors.AsType[*apikey.UnavailableError](err)
	return ok && u.Op == op
}

// The client of another system goes on sending what it always sent.
func TestAuthorizationOfAnotherScheme(t *testing.T) {
	t.Parallel()
	m := newManager(t, &apikey.Config{
		Schemes: []apikey.Scheme{drfScheme},
		HTTP:    apikey.HTTPConfig{Sources: []apikey.Source{apikey.Bearer(), apikey.Authorization("Api-Key"), apikey.Header("X-Api-Key")}},
	})
	token := "abcDEF12.0123456789abcdefghijABCDEFGHIJ01"
	importKey(t, m, apikey.ImportParams{Token: token})
	_, native := issue(t, m, apikey.KeyParams{})
	skip := m.Guard(apikey.Policy{SkipForeign: true, Optional: true})(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, ok := apikey.FromContext(r.Context()); ok {
			w.WriteHeader(200)
			return
		}
		w.WriteHeader(204)
	}))
	jwt := "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"
	for _, tt := range []struct {
		header, value string
		guard, skip   int
	}{
		{"Authorization", "Api-Key " + token, 204, 200},
		{"Authorization", "api-key " + token, 204, 200},
		{"Authorization", "Bearer " + token, 204, 200},
		{"Authorization", "Bearer " + native, 204, 200},
		{"Authorization", "Api-Key " + native, 204, 200},
		{"X-Api-Key", token, 204, 200},
		{"Authorization", "Basic " + token, 401, 401},
		{"Authorization", "Api-Key", 400, 400},
		{"Authorization", "Bearer " + jwt, 401, 204},
		{"Authorization", "Bearer " + token[:40] + "x", 401, 401},
		{"Authorization", "Api-Key " + token + "|", 400, 400},
	} {
		for i, h := range []http.Handler{m.Require()(noContent), skip} {
			r := httptest.NewRequest("GET", "/", nil)
			r.Header.Set(tt.header, tt.value)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if want := [...]int{tt.guard, tt.skip}[i]; w.Code != want {
				t.Errorf("%s: %s, guard %d: %d, want %d", tt.header, tt.value[:8], i, w.Code, want)
			}
			if w.Code == 401 && len(w.Header().Values("Www-Authenticate")) != 2 {
				t.Errorf("challenges: %q", w.Header().Values("Www-Authenticate"))
			}
			if vary := w.Header().Get("Vary"); w.Code < 300 && vary != "Authorization, X-Api-Key" {
				t.Errorf("Vary: %s", vary)
			}
		}
	}
}

// A key of HMAC keeps the guesser out, and no bare SHA-256 takes its place.
func TestHMACIsNotWeakened(t *testing.T) {
	t.Parallel()
	for bits, want := range map[int]bool{0: false, 111: false, 112: true} {
		s := weakScheme()
		s.Slow, s.HMAC, s.SecretBits = false, mustPepper(t, 9), bits
		store := memstore.New()
		m := newManagerOn(t, store, &apikey.Config{Schemes: []apikey.Scheme{s}})
		_, err := m.Keyring("acct_42", apikey.Operator("test")).Import(t.Context(), apikey.ImportParams{KeyParams: apikey.KeyParams{Name: "by token"}, Token: weakToken})
		if imported := err == nil; imported != want {
			t.Errorf("%d bits, by token: %v", bits, err)
		}
		if want {
			continue
		}
		mac := hmac.New(sha256.New, []byte(strings.Repeat("9", 32)))
		mac.Write([]byte(weakToken))
		key := importKey(t, m, apikey.ImportParams{Scheme: weakScope, Locator: "k7", Digest: parseDigest(t, hex.EncodeToString(mac.Sum(nil)))})
		if _, _, err := m.Verify(t.Context(), apikey.Request{Token: weakToken}); err != nil {
			t.Fatal(err)
		}
		closeManager(t, m)
		rec := must[*apikey.Record](t)(store.Get(t.Context(), key.ID))
		if rec.Version() != 1 || bytes.Contains(rec.Bytes(), []byte(sha256Of(weakToken))) {
			t.Errorf("%d bits: version %d: a bare SHA-256 stands where HMAC stood", bits, rec.Version())
		}
	}
}

// What a client sends never makes a right Split look wrong.
func TestSplitOfAnyToken(t *testing.T) {
	t.Parallel()
	cut := apikey.Scheme{Name: "cut", MinLen: 16, MaxLen: 40, Bytes: ".", Split: func(token string) (string, string, bool) { return strings.Cut(token, ".") }}
	m := newManager(t, &apikey.Config{Schemes: []apikey.Scheme{cut}})
	for _, token := range []string{"abcdefghijklmnopq.a", "k7abc0123456789.abc", "k7.k7k7k7k7k7k7k7k7", ".0123456789abcdef", "0123456789abcdef.", "0123456789abcdef", "................"} {
		if _, _, err := m.Verify(t.Context(), apikey.Request{Token: token}); reasonOf(err) != apikey.ReasonInvalid {
			t.Errorf("%s: %v", token, err)
		}
	}
	token := "k7abc0123456789.abc"
	importKey(t, m, apikey.ImportParams{Token: token})
	if _, _, err := m.Verify(t.Context(), apikey.Request{Token: token}); err != nil {
		t.Errorf("imported: %v", err)
	}
}

// A Separator stands in a token once, so that a JWT is none of a wide Scheme's.
func TestSeparatorStandsOnce(t *testing.T) {
	t.Parallel()
	wide := apikey.Scheme{Name: "wide", Separator: '.', MinLen: 16, MaxLen: 200}
	for bytes, want := range map[string]int{"": 204, ".": 401} {
		wide.Bytes = bytes
		m := newManager(t, &apikey.Config{Formats: []apikey.Format{{Prefix: "rd_sk_"}}, Schemes: []apikey.Scheme{wide}})
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Authorization", "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl")
		w := httptest.NewRecorder()
		m.Guard(apikey.Policy{SkipForeign: true, Optional: true})(noContent).ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("Bytes %q: a JWT gets %d, want %d", bytes, w.Code, want)
		}
	}
}

// An ended token whose digest can no longer be checked keeps no other from being told.
func TestEndedForeignSecretWithoutItsHMAC(t *testing.T) {
	t.Parallel()
	keyed := weakScheme()
	keyed.HMAC = mustPepper(t, 9)
	store := memstore.New()
	m := newManagerOn(t, store, &apikey.Config{Schemes: []apikey.Scheme{keyed}})
	key := importKey(t, m, apikey.ImportParams{Scheme: weakScope, Locator: "k7", Digest: parseDigest(t, hexOf(sha256Of("any")))})
	must[*apikey.Issued](t)(m.Keyring("acct_42", apikey.Operator("test")).Rotate(t.Context(), key.ID, apikey.RotateParams{}))
	closeManager(t, m)
	m = newManagerOn(t, store, &apikey.Config{Schemes: []apikey.Scheme{weakScheme()}})
	if _, _, err := m.Verify(t.Context(), apikey.Request{Token: weakToken}); reasonOf(err) != apikey.ReasonInvalid {
		t.Errorf("%v, want it invalid: its secret has ended", err)
	}
}

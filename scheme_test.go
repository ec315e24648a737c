package apikey_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/internal/secretwatch"
	"github.com/go-apikey/apikey/memstore"
)

// vector is a digest that another system's library made.
type vector struct {
	Name, Token, Secret, Hashed, Stored string
	Salt                                string
	SaltPosition                        string `json:"salt_position"`
	HMACKey                             string `json:"hmac_key"`
	Good                                bool
	Why                                 string
}

func (v *vector) digest() (apikey.Digest, error) {
	if v.Salt == "" {
		return apikey.ParseDigest(v.Stored)
	}
	salt, err := hex.DecodeString(v.Salt)
	if err != nil {
		return apikey.Digest{}, err
	}
	return apikey.ParseSaltedDigest(v.Stored, salt, v.SaltPosition == "after")
}

// scheme finds the vector's secret in its token, whatever that looks like.
func (v *vector) scheme(t *testing.T) apikey.Scheme {
	t.Helper()
	s := apikey.Scheme{Name: "other", MinLen: len(v.Token) - 1, MaxLen: len(v.Token) + 1, Bytes: ".|:/+=", Slow: true}
	s.Split = func(token string) (locator, secret string, ok bool) {
		n := 6
		if v.Secret != "" {
			n = len(token) - len(v.Secret)
		}
		return strings.TrimRight(token[:n], ".|:_-"), token[n:], true
	}
	s.HashesSecret = v.Hashed == "secret"
	if v.HMACKey != "" {
		key := must[[]byte](t)(hex.DecodeString(v.HMACKey))
		s.HMAC = must[apikey.Pepper](t)(apikey.InsecureShortPepper(1, key))
	}
	return s
}

// Every digest that the libraries of other systems made is verified, before
// and after it was replaced, and no wrong token with it.
func TestVectors(t *testing.T) {
	t.Parallel()
	var vectors []vector
	if err := json.Unmarshal(must[[]byte](t)(os.ReadFile("testdata/schemes/vectors.json")), &vectors); err != nil {
		t.Fatal(err)
	}
	good, bad := 0, 0
	for _, v := range vectors {
		if v.Good {
			good++
		} else {
			bad++
		}
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			testVector(t, &v)
		})
	}
	if good < 70 || bad < 50 {
		t.Errorf("%d good vectors and %d bad ones: some are missing", good, bad)
	}
}

func testVector(t *testing.T, v *vector) {
	digest, err := v.digest()
	if err != nil {
		if v.Good || !errors.Is(err, apikey.ErrInvalid) {
			t.Fatalf("%q: %v", v.Stored, err)
		}
		return // refused at import, as it should be
	}
	secretwatch.Add(v.Token)
	store := memstore.New()
	scheme := v.scheme(t)
	pepper := must[apikey.Pepper](t)(apikey.NewPepper(7, []byte(strings.Repeat("p", 32))))
	m := newManagerOn(t, store, &apikey.Config{
		Formats: []apikey.Format{{Prefix: "not_so_long_", SecretLen: secretLen(len(v.Token))}},
		Schemes: []apikey.Scheme{scheme}, Peppers: []apikey.Pepper{pepper},
	})
	locator, _, _ := scheme.Split(v.Token)
	key, err := m.Keyring("acct_42", apikey.Operator("test")).Import(t.Context(), apikey.ImportParams{
		KeyParams: apikey.KeyParams{Name: "from elsewhere"}, Scheme: "other", Locator: locator, Digest: digest,
	})
	if err != nil {
		t.Fatal(err)
	}
	if !v.Good {
		if _, _, err := m.Verify(t.Context(), apikey.Request{Token: v.Token}); reasonOf(err) != apikey.ReasonInvalid {
			t.Errorf("%v, want it invalid: %s", err, v.Why)
		}
		return
	}
	for _, when := range []string{"first", "when its digest is replaced"} {
		p, _, err := m.Verify(t.Context(), apikey.Request{Token: v.Token})
		if err != nil || p.KeyID() != key.ID {
			t.Fatalf("%s: %v, %v", when, p, err)
		}
		for _, wrong := range []string{v.Token[:len(v.Token)-1] + "~", v.Token[:len(v.Token)-1] + string(v.Token[len(v.Token)-1]^1), v.Token + "A"} {
			if _, _, err := m.Verify(t.Context(), apikey.Request{Token: wrong}); err == nil {
				t.Errorf("%s: %q passes too", when, wrong)
			}
		}
		if err := m.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	closeManager(t, m) // so that nothing is on its way to the store any more
	if rec := must[*apikey.Record](t)(store.Get(t.Context(), key.ID)); rec.Version() != 2 {
		t.Errorf("version %d, want 2: the digest is replaced once", rec.Version())
	}
}

// secretLen keeps native tokens, of 30 bytes and the secret, from being as long
// as foreign ones.
func secretLen(foreign int) int {
	if foreign > 50 && foreign < 60 {
		return 40
	}
	return 27
}

// countingStore counts how often it is asked for a key.
type countingStore struct {
	apikey.Store
	gets atomic.Int64
}

func (s *countingStore) Get(ctx context.Context, ref string) (*apikey.Record, error) {
	s.gets.Add(1)
	return s.Store.Get(ctx, ref)
}

func reasonOf(err error) apikey.Reason {
	if d, ok := errors.AsType[*apikey.Denial](err); ok {
		return d.Reason
	}
	return ""
}

// shapes are the schemes of the systems that keys mostly come from.
var (
	opaqueScheme  = apikey.Scheme{Name: "fm", Prefix: "fm_", MinLen: 35}
	sanctumScheme = apikey.Scheme{Name: "sanctum", Separator: '|', Number: true, MinLen: 42, MaxLen: 80, HashesSecret: true, SecretBits: 238}
	drfScheme     = apikey.Scheme{Name: "drf", Separator: '.', MinLen: 41}
	basicScheme   = apikey.Scheme{Name: "basic", Prefix: "k-", Separator: ':', Bytes: "/+=", MinLen: 20, MaxLen: 60}
	caseScheme    = apikey.Scheme{Name: "case", Prefix: "old-", MinLen: 24, Split: func(token string) (string, string, bool) {
		secret, locator, ok := strings.Cut(token[4:], "-") // the locator stands last
		return locator, secret, ok
	}}
)

func TestSchemeShapes(t *testing.T) {
	t.Parallel()
	const secret40, secret32 = "0123456789abcdefghijABCDEFGHIJ0123456789", "0123456789abcdefghijABCDEFGHIJ01"
	m := newManager(t, &apikey.Config{
		Formats: []apikey.Format{{Prefix: "rg_live_"}},
		Schemes: []apikey.Scheme{opaqueScheme, sanctumScheme, drfScheme, basicScheme, caseScheme},
	})
	h := m.Require()(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, _ := apikey.FromContext(r.Context())
		_, _ = w.Write([]byte(p.Name()))
	}))
	ring := m.Keyring("acct_42", apikey.Operator("test"))
	for _, tt := range []struct {
		name, token string
		alias       string
		wrong       []string // of the shape's neighbourhood; the first is of the shape
	}{
		{"opaque", "fm_" + secret32, "~fm:" + hexOf(sha256Of(sha256Of("fm_" + secret32)))[:32], []string{"fm_" + secret32[1:] + "x", "fm_" + secret32 + "x", "fm-" + secret32, "fm_" + secret32[1:] + "."}},
		{"sanctum", "42|" + secret40, "~sanctum:42", []string{"43|" + secret40, "042|" + secret40, "+42|" + secret40, "|" + secret40 + "xx", "4 2|" + secret40, "42||" + secret40[1:]}},
		{"drf", "abcDEF12." + secret32, "~drf:abcDEF12", []string{"abcDEF13." + secret32, "ABCdef12." + secret32, "abcDEF12" + secret32 + "x", "." + secret32 + "abcDEF12"}},
		{"keyid:secret", "k-7:s/cret+with=bytes", "~basic:7", []string{"k-8:s/cret+with=bytes", "k-:s/cret+with=bytes7", "k-7:s,cret+with=bytes"}},
		{"function", "old-0123456789abcdef-abc", "~case:abc", []string{"old-0123456789abcdef-abd", "old-0123456789abcdefabcd"}},
	} {
		key := must[*apikey.Key](t)(ring.Import(t.Context(), apikey.ImportParams{KeyParams: apikey.KeyParams{Name: tt.name}, Token: tt.token}))
		if key.Alias != tt.alias || len(key.ID) != 12 || key.Secrets[0].Scheme == "" {
			t.Errorf("%s: key %s with alias %q, of scheme %q; want a new ID and %q", tt.name, key.ID, key.Alias, key.Secrets[0].Scheme, tt.alias)
		}
		send := func(token string) (int, string) {
			r := httptest.NewRequest("GET", "/", nil)
			r.Header.Set("Authorization", "Bearer "+token)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			return w.Code, w.Body.String()
		}
		if code, body := send(tt.token); code != 200 || body != tt.name {
			t.Errorf("%s: %d %s", tt.name, code, body)
		}
		for i, wrong := range tt.wrong {
			if code, body := send(wrong); code != 401 && (code != 400 || i == 0) {
				t.Errorf("%s, %q: %d %s, want it refused", tt.name, wrong, code, body)
			}
		}
		if _, err := ring.Import(t.Context(), apikey.ImportParams{KeyParams: apikey.KeyParams{Name: "again"}, Token: tt.token}); !errors.Is(err, apikey.ErrExists) {
			t.Errorf("%s again: %v", tt.name, err)
		}
	}
}

// A table that is imported again, by whatever is known of its tokens, finds
// what is there and what was deleted since.
func TestImportAgain(t *testing.T) {
	t.Parallel()
	token := "42|0123456789abcdefghijABCDEFGHIJ0123456789"
	m := newManager(t, &apikey.Config{Formats: []apikey.Format{{Prefix: "sk_", IDLen: 7, SecretLen: 19}}, Schemes: []apikey.Scheme{sanctumScheme}})
	ring := m.Keyring("acct_42", apikey.Operator("test"))
	byToken := apikey.ImportParams{KeyParams: apikey.KeyParams{Name: "by token"}, Token: token}
	byDigest := apikey.ImportParams{
		KeyParams: apikey.KeyParams{Name: "by digest"}, Scheme: "sanctum", Locator: "42",
		Digest: must[apikey.Digest](t)(apikey.ParseDigest(hex.EncodeToString([]byte(sha256Of(token[3:]))))),
	}
	key := must[*apikey.Key](t)(ring.Import(t.Context(), byDigest))
	for range 2 {
		for _, p := range []apikey.ImportParams{byToken, byDigest} {
			if _, err := ring.Import(t.Context(), p); !errors.Is(err, apikey.ErrExists) {
				t.Errorf("%s: %v, want ErrExists", p.Name, err)
			}
		}
		if key.RevokedAt.IsZero() {
			key = must[*apikey.Key](t)(ring.Revoke(t.Context(), key.ID))
			if err := ring.Delete(t.Context(), key.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, _, err := m.Verify(t.Context(), apikey.Request{Token: token}); reasonOf(err) != apikey.ReasonInvalid {
		t.Errorf("deleted: %v", err)
	}
}

// A key that came from elsewhere is rotated into a native token and stays the
// same key.
func TestRotateForeign(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *apikey.Config) {
		s := opaqueScheme
		s.Environment = "live"
		c.Schemes = []apikey.Scheme{s}
	})
	token := "fm_0123456789abcdefghijABCDEFGHIJ01"
	key := must[*apikey.Key](t)(w.ring().Import(t.Context(), apikey.ImportParams{KeyParams: apikey.KeyParams{Name: "old"}, Token: token}))
	if key.Masked() != "fm_…" || key.Environment != "live" {
		t.Errorf("masked %s, of %s", key.Masked(), key.Environment)
	}
	issued := must[*apikey.Issued](t)(w.ring().Rotate(t.Context(), key.ID, apikey.RotateParams{Grace: time.Hour}))
	if issued.Key.ID != key.ID || !strings.HasPrefix(issued.Token.Reveal(), "rg_live_"+key.ID) || issued.Key.Secrets[0].Scheme != "" || issued.Key.Secrets[1].Scheme != "fm" {
		t.Errorf("rotated: %+v", issued.Key)
	}
	for range 2 {
		for token, n := range map[string]uint32{token: 1, issued.Token.Reveal(): 2} {
			if p, _, err := w.Verify(t.Context(), apikey.Request{Token: token}); err != nil || p.Secret() != n {
				t.Errorf("%v, %v; want secret %d", p, err, n)
			}
		}
		if err := w.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	w.clock.add(time.Hour)
	if _, _, err := w.Verify(t.Context(), apikey.Request{Token: token}); reasonOf(err) != apikey.ReasonRotated {
		t.Errorf("after its grace: %v", err)
	}
	if found, state, err := w.Lookup(t.Context(), token); err != nil || found.ID != key.ID || state != (apikey.SecretState{N: 1}) {
		t.Errorf("Lookup: %v, %v, %v", found, state, err)
	}
}

// Where tokens of another system look just like ours, the checksum decides.
func TestSharesFormat(t *testing.T) {
	t.Parallel()
	format := apikey.Format{Prefix: "rk_live_", IDLen: 7, SecretLen: 19}
	shares := apikey.Scheme{Name: "old", Prefix: "rk_live_", MinLen: 40, SharesFormat: true}
	store := &countingStore{Store: memstore.New()}
	m := newManagerOn(t, store, &apikey.Config{Formats: []apikey.Format{{Prefix: "rg_live_"}, format}, Schemes: []apikey.Scheme{shares}})
	ring := m.Keyring("acct_42", apikey.Operator("test"))
	issued := must[*apikey.Issued](t)(ring.Create(t.Context(), apikey.KeyParams{Name: "native", Prefix: "rk_live_"}))
	native := issued.Token.Reveal()
	foreign := "rk_live_" + strings.Repeat("0123456789abcdef", 2)
	key := must[*apikey.Key](t)(ring.Import(t.Context(), apikey.ImportParams{KeyParams: apikey.KeyParams{Name: "old"}, Token: foreign}))
	for token, id := range map[string]string{native: issued.Key.ID, foreign: key.ID} {
		if p, _, err := m.Verify(t.Context(), apikey.Request{Token: token}); err != nil || p.KeyID() != id {
			t.Errorf("%v, %v; want key %s", p, err, id)
		}
	}
	before := store.gets.Load()
	last := "0"
	if native[39] == '0' {
		last = "1"
	}
	mistyped := native[:39] + last
	if _, _, err := m.Verify(t.Context(), apikey.Request{Token: mistyped}); reasonOf(err) != apikey.ReasonInvalid {
		t.Errorf("mistyped: %v", err)
	}
	if n := store.gets.Load() - before; n != 1 {
		t.Errorf("mistyped: %d store calls, want 1", n)
	}
	rotated, err := ring.Rotate(t.Context(), key.ID, apikey.RotateParams{}) // the shape goes on
	if err != nil || !strings.HasPrefix(rotated.Token.Reveal(), "rk_live_") || len(rotated.Token.Reveal()) != 40 {
		t.Errorf("rotated: %v, %v", rotated, err)
	}
	for _, p := range []apikey.ImportParams{{Token: native, Scheme: "old"}} {
		p.Name = "by chance"
		if _, err := ring.Import(t.Context(), p); !errors.Is(err, apikey.ErrInvalid) {
			t.Errorf("a foreign token that passes by chance: %v", err)
		}
	}
}

func TestSchemeConfig(t *testing.T) {
	t.Parallel()
	edit := func(s apikey.Scheme, f func(*apikey.Scheme)) apikey.Scheme { f(&s); return s }
	long := strings.Repeat("x", 65)
	for _, tt := range []struct {
		name    string
		schemes []apikey.Scheme
		want    []string // fields
	}{
		{"all that is needed", []apikey.Scheme{opaqueScheme, sanctumScheme, drfScheme, basicScheme, caseScheme}, nil},
		{"no name", []apikey.Scheme{edit(opaqueScheme, func(s *apikey.Scheme) { s.Name = "" })}, []string{"Schemes[0].Name"}},
		{"bad name", []apikey.Scheme{edit(opaqueScheme, func(s *apikey.Scheme) { s.Name = "a:b" })}, []string{"Schemes[0].Name"}},
		{"name twice", []apikey.Scheme{opaqueScheme, edit(drfScheme, func(s *apikey.Scheme) { s.Name = "fm" })}, []string{"Schemes[1].Name"}},
		{"opaque without a prefix", []apikey.Scheme{edit(opaqueScheme, func(s *apikey.Scheme) { s.Prefix = "" })}, nil},
		{"opaque without a prefix, as long as native ones", []apikey.Scheme{edit(opaqueScheme, func(s *apikey.Scheme) { s.Prefix, s.MinLen = "", 53 })}, []string{"Schemes[0]"}},
		{"prefix of other bytes", []apikey.Scheme{edit(opaqueScheme, func(s *apikey.Scheme) { s.Prefix = "fm." })}, []string{"Schemes[0].Prefix"}},
		{"long prefix", []apikey.Scheme{edit(opaqueScheme, func(s *apikey.Scheme) { s.Prefix, s.MinLen = long, 99 })}, []string{"Schemes[0].Prefix"}},
		{"no length", []apikey.Scheme{edit(opaqueScheme, func(s *apikey.Scheme) { s.MinLen = 0 })}, []string{"Schemes[0].MinLen"}},
		{"too long", []apikey.Scheme{edit(opaqueScheme, func(s *apikey.Scheme) { s.MaxLen = 513 })}, []string{"Schemes[0].MinLen"}},
		{"shortest above longest", []apikey.Scheme{edit(opaqueScheme, func(s *apikey.Scheme) { s.MaxLen = 34 })}, []string{"Schemes[0].MinLen"}},
		{"a letter separates", []apikey.Scheme{edit(drfScheme, func(s *apikey.Scheme) { s.Separator = 'x' })}, []string{"Schemes[0].Separator"}},
		{"a comma separates", []apikey.Scheme{edit(drfScheme, func(s *apikey.Scheme) { s.Separator = ',' })}, []string{"Schemes[0].Separator"}},
		{"separator and function", []apikey.Scheme{edit(caseScheme, func(s *apikey.Scheme) { s.Separator = '.' })}, []string{"Schemes[0].Separator"}},
		{"number of nothing", []apikey.Scheme{edit(opaqueScheme, func(s *apikey.Scheme) { s.Number = true })}, []string{"Schemes[0].Number"}},
		{"a space in tokens", []apikey.Scheme{edit(drfScheme, func(s *apikey.Scheme) { s.Bytes = " " })}, []string{"Schemes[0].Bytes"}},
		{"hashes the secret of an opaque one", []apikey.Scheme{edit(opaqueScheme, func(s *apikey.Scheme) { s.HashesSecret = true })}, []string{"Schemes[0].HashesSecret"}},
		{"slow hashes of opaque tokens", []apikey.Scheme{edit(opaqueScheme, func(s *apikey.Scheme) { s.Slow = true })}, []string{"Schemes[0].Slow"}},
		{"bits below 0", []apikey.Scheme{edit(opaqueScheme, func(s *apikey.Scheme) { s.SecretBits = -1 })}, []string{"Schemes[0].SecretBits"}},
		{"environment of none", []apikey.Scheme{edit(opaqueScheme, func(s *apikey.Scheme) { s.Environment = "staging" })}, []string{"Schemes[0].Environment"}},
		{"shape of a format", []apikey.Scheme{{Name: "a", Prefix: "rg_live_", MinLen: 53}}, []string{"Schemes[0]"}},
		{"shape of a format, wider", []apikey.Scheme{{Name: "a", Prefix: "rg_", MinLen: 51, MaxLen: 60}}, []string{"Schemes[0]"}},
		{"prefix of a format, other length", []apikey.Scheme{{Name: "a", Prefix: "rg_live_", MinLen: 54}}, nil},
		{"shape of a format with a separator", []apikey.Scheme{{Name: "a", Prefix: "rg_", Separator: '.', MinLen: 50, MaxLen: 60}}, nil},
		{"shares no format", []apikey.Scheme{edit(opaqueScheme, func(s *apikey.Scheme) { s.SharesFormat = true })}, []string{"Schemes[0].SharesFormat"}},
		{"shares a format of another environment", []apikey.Scheme{{Name: "a", Prefix: "test_", MinLen: 50, SharesFormat: true}}, []string{"Schemes[0].SharesFormat"}},
		{"shares a format and more", []apikey.Scheme{{Name: "a", Prefix: "rg_live_", MinLen: 52, MaxLen: 53, SharesFormat: true}}, []string{"Schemes[0]", "Schemes[0].SharesFormat"}},
		{"the same shape twice", []apikey.Scheme{opaqueScheme, edit(opaqueScheme, func(s *apikey.Scheme) { s.Name = "fm2" })}, []string{"Schemes[1]"}},
		{"one in the other", []apikey.Scheme{opaqueScheme, {Name: "b", Prefix: "fm_live_", MinLen: 30, MaxLen: 40}}, []string{"Schemes[1]"}},
		{"two separators", []apikey.Scheme{edit(sanctumScheme, func(s *apikey.Scheme) { s.Bytes = "." }), edit(drfScheme, func(s *apikey.Scheme) { s.MaxLen, s.Bytes = 80, "|" })}, nil},
		{"a separator that an opaque one may have", []apikey.Scheme{edit(opaqueScheme, func(s *apikey.Scheme) { s.Bytes = "|" }), edit(sanctumScheme, func(s *apikey.Scheme) { s.MinLen = 30 })}, []string{"Schemes[1]"}},
		{"a function beside a separator", []apikey.Scheme{caseScheme, {Name: "b", Separator: '.', MinLen: 20, MaxLen: 30}}, []string{"Schemes[1]"}},
	} {
		cfg := &apikey.Config{Formats: []apikey.Format{{Prefix: "rg_live_"}, {Prefix: "test_", Environment: "test"}}, Schemes: tt.schemes}
		m, err := apikey.New(memstore.New(), cfg)
		var got []string
		if invalid, ok := errors.AsType[*apikey.InvalidError](err); ok {
			for _, f := range invalid.Fields {
				got = append(got, f.Field)
			}
		} else if err != nil {
			t.Fatal(err)
		} else {
			closeManager(t, m)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: faults (-want +got)\n%s%v", tt.name, diff, err)
		}
	}
}

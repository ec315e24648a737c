package apikey_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/memstore"
)

// migrated is when the tests import what the fixtures have.
var migrated = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// How the old systems take a token, and how it is taken once its key came here.
var oldStates = map[string]apikey.Reason{
	"live": "", "expired": apikey.ReasonExpired, "revoked": apikey.ReasonRevoked, "disabled": apikey.ReasonHeld, "spent": apikey.ReasonHeld,
}

// Every row of every fixture comes over with its past, its token is taken as
// the old system took it, before and after its digest was replaced, and a
// rotation makes it a native one.
func TestMigrate(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		file     string
		cfg      *apikey.Config
		from     func(*oldRow) oldKey
		replaced int // how often a digest is: SHA-256 of the whole token is ours already
		unread   []string
	}{
		{"sha256.csv", tableConfig, fromTable, 0, nil},
		{"sanctum.csv", sanctumConfig, fromSanctum, 1, nil},
		{"drf.csv", drfConfig, fromDRF, 1, nil},
		{"unkey.csv", unkeyConfig, fromUnkey, 0, []string{"key_4uZk3KmQZz6xBtku"}},
	} {
		t.Run(tt.file, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				cfg := *tt.cfg
				cfg.Now = func() time.Time { return migrated }
				m := newManagerOn(t, memstore.New(), &cfg)
				old, unread := readOld(tt.file, tt.from)
				if len(unread) != len(tt.unread) {
					t.Errorf("not read: %v", unread)
				}
				checkBrought(t, m, old)
				checkTokens(t, m, readTokens(tt.file), tt.replaced, tt.unread)
			})
		})
	}
}

// checkBrought imports old keys, twice, and holds what is here beside them.
func checkBrought(t *testing.T, m *apikey.Manager, old []oldKey) {
	t.Helper()
	if n, refused := bring(t.Context(), m, old); n != len(old) || len(refused) > 0 {
		t.Fatalf("%d imported, refused %v", n, refused)
	}
	for _, k := range old {
		if _, err := m.Keyring(k.owner, apikey.Operator("migration")).Import(t.Context(), k.params); !errors.Is(err, apikey.ErrExists) {
			t.Errorf("%s again: %v, want ErrExists", k.id, err)
		}
	}
	if err := m.Flush(t.Context()); err != nil { // their past use
		t.Fatal(err)
	}
	keys := keysByRow(t, m)
	for _, k := range old {
		got, want := keys[k.id], k.params
		if got == nil {
			t.Errorf("%s is not there", k.id)
			continue
		}
		type facts struct {
			Owner, Name                           string
			Permissions                           int
			Created, Expires, Revoked, Used, Made time.Time
		}
		if diff := cmp.Diff(
			facts{k.owner, want.Name, len(want.Permissions), want.CreatedAt, want.ExpiresAt, want.RevokedAt, want.LastUsedAt, want.CreatedAt},
			facts{got.Owner, got.Name, len(got.Permissions), got.CreatedAt, got.ExpiresAt, got.RevokedAt, got.Usage.LastUsed[1], got.Secrets[0].CreatedAt},
		); diff != "" && !slices.Contains(want.Permissions, "*") { // which covers the others
			t.Errorf("%s (-want +got)\n%s", k.id, diff)
		}
	}
	for range 2 {
		if err := follow(t.Context(), m, old); err != nil {
			t.Fatal(err)
		}
	}
	for id, key := range keysByRow(t, m) {
		if key.Version > 2 {
			t.Errorf("%s: version %d: what is the same is written again", id, key.Version)
		}
	}
}

// checkTokens presents every token, in all the forms that its key ever has.
func checkTokens(t *testing.T, m *apikey.Manager, tokens []oldToken, replaced int, unread []string) {
	t.Helper()
	if len(tokens) == 0 {
		t.Fatal("no tokens")
	}
	ids := map[string]string{} // keys whose token passes
	for _, when := range []string{"first", "replaced"} {
		for _, tok := range tokens {
			want := oldStates[tok.state]
			if slices.Contains(unread, tok.id) {
				want = apikey.ReasonInvalid
			}
			p, _, err := m.Verify(t.Context(), apikey.Request{Token: tok.token})
			if reasonOf(err) != want || (err == nil) != (want == "") {
				t.Errorf("%s, %s: %v, want %q", tok.id, when, err, want)
			}
			if err == nil {
				ids[tok.token] = p.KeyID()
			}
			wrong := tok.token[:len(tok.token)-1] + string(tok.token[len(tok.token)-1]^1)
			if _, _, err := m.Verify(t.Context(), apikey.Request{Token: wrong}); reasonOf(err) != apikey.ReasonInvalid {
				t.Errorf("%s, %s, with another last character: %v", tok.id, when, err)
			}
		}
		if err := m.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // for what the Manager's own loop took
	}
	for token, id := range ids {
		p, _, err := m.Verify(t.Context(), apikey.Request{Token: token})
		if err != nil {
			t.Fatal(err)
		}
		ring := m.Keyring(p.Owner(), apikey.Operator("test"))
		n := 0
		for _, c := range must[apikey.HistoryPage](t)(ring.History(t.Context(), apikey.HistoryQuery{KeyID: id})).Changes {
			if c.Action == "rehash" {
				n++
			}
		}
		if n != replaced {
			t.Errorf("%s: its digest was replaced %d times, want %d", p.Name(), n, replaced)
		}
		issued := must[*apikey.Issued](t)(ring.Rotate(t.Context(), id, apikey.RotateParams{}))
		if issued.Key.ID != id || !strings.HasPrefix(issued.Token.Reveal(), "rg_") {
			t.Errorf("%s: rotated to another key or shape", p.Name())
		}
		if again, _, err := m.Verify(t.Context(), apikey.Request{Token: issued.Token.Reveal()}); err != nil || again.KeyID() != id {
			t.Errorf("%s, rotated: %v", p.Name(), err)
		}
		if _, _, err := m.Verify(t.Context(), apikey.Request{Token: token}); reasonOf(err) != apikey.ReasonRotated {
			t.Errorf("%s, its earlier token: %v", p.Name(), err)
		}
	}
}

// keysByRow is every key that was imported, by the ID of its row.
func keysByRow(t *testing.T, m *apikey.Manager) map[string]*apikey.Key {
	t.Helper()
	keys := map[string]*apikey.Key{}
	for _, key := range must[apikey.Page](t)(m.List(t.Context(), apikey.Query{AllOwners: true})).Keys {
		keys[key.Metadata["old_id"]] = key
	}
	return keys
}

// What happens in the old system meanwhile comes over, and what ends there by
// mistake comes back.
func TestFollow(t *testing.T) {
	t.Parallel()
	m := newManager(t, sanctumConfig)
	read := func() []oldKey {
		old, unread := readOld("sanctum.csv", fromSanctum)
		if len(unread) > 0 {
			t.Fatal(unread)
		}
		return old
	}
	bring(t.Context(), m, read())
	tokens := readTokens("sanctum.csv")
	next := time.Now().Add(time.Hour).Truncate(time.Second)
	for _, tt := range []struct {
		name   string
		change func(*oldKey)
		want   apikey.Reason
	}{
		{"as it was", func(*oldKey) {}, ""},
		{"stopped", func(k *oldKey) { k.stopped = true }, apikey.ReasonHeld},
		{"not any more", func(*oldKey) {}, ""},
		{"gone", func(k *oldKey) { k.id = "0" }, apikey.ReasonHeld},
		{"there again", func(*oldKey) {}, ""},
		{"an ability less", func(k *oldKey) { k.params.Permissions = nil }, apikey.ReasonPermission},
		{"given back", func(*oldKey) {}, ""},
		{"ends in an hour", func(k *oldKey) { k.params.ExpiresAt = next }, ""},
		{"ended", func(k *oldKey) { k.params.ExpiresAt = next.Add(-2 * time.Hour) }, apikey.ReasonHeld},
		{"no end", func(*oldKey) {}, ""},
		{"revoked", func(k *oldKey) { k.params.RevokedAt = next }, apikey.ReasonRevoked},
		{"for ever", func(*oldKey) {}, apikey.ReasonRevoked},
	} {
		old := read()
		tt.change(&old[1])
		old[4].params.Permissions = apikey.Permissions{"No Permission"} // of a key that is listed before
		if err := follow(t.Context(), m, old); !errors.Is(err, apikey.ErrInvalid) || !strings.HasPrefix(err.Error(), "row 105:") || strings.Contains(err.Error(), "\n") {
			t.Fatalf("%s: %v, want that of row 105 alone", tt.name, err)
		}
		_, _, err := m.Verify(t.Context(), apikey.Request{Token: tokens[1].token, All: []apikey.Permission{"server:update"}})
		if reasonOf(err) != tt.want || (err == nil) != (tt.want == "") {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
		if _, _, err := m.Verify(t.Context(), apikey.Request{Token: tokens[0].token}); err != nil {
			t.Errorf("%s, another key: %v", tt.name, err)
		}
		if k := keysByRow(t, m)["18"]; tt.name == "ends in an hour" && !k.ExpiresAt.Equal(next) {
			t.Errorf("it ends at %v, want %v", k.ExpiresAt, next)
		}
	}
}

// Only what is not known here reaches the old middleware. Once a key is
// forgotten, its old token is not known either.
func TestEither(t *testing.T) {
	t.Parallel()
	m := newManager(t, sanctumConfig)
	old, _ := readOld("sanctum.csv", fromSanctum)
	bring(t.Context(), m, old)
	token := readTokens("sanctum.csv")[0].token
	key := keysByRow(t, m)["17"]
	ring := m.Keyring(key.Owner, apikey.Operator("test"))
	h := either(m, apikey.Policy{}, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	})(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	const known, unknown = http.StatusUnauthorized, http.StatusTeapot
	elsewhere := []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}
	for _, tt := range []struct {
		name  string
		token string
		do    func() error
		want  int
	}{
		{"good", token, func() error { return nil }, http.StatusOK},
		{"wrong secret", token + "x", func() error { return nil }, unknown},
		{"another system's", "anything", func() error { return nil }, unknown},
		{"none", "", func() error { return nil }, known},
		{"held", token, func() error { _, err := ring.Hold(t.Context(), key.ID); return err }, known},
		{"released, and off its networks", token, func() error {
			_, err := ring.Release(t.Context(), key.ID)
			_, err2 := ring.Update(t.Context(), key.ID, apikey.KeyUpdate{Networks: &elsewhere})
			return errors.Join(err, err2)
		}, known},
		{"from anywhere, and rotated", token, func() error {
			_, err := ring.Update(t.Context(), key.ID, apikey.KeyUpdate{Networks: new([]netip.Prefix)})
			_, err2 := ring.Rotate(t.Context(), key.ID, apikey.RotateParams{})
			return errors.Join(err, err2)
		}, known},
		{"rotated twice", token, func() error { _, err := ring.Rotate(t.Context(), key.ID, apikey.RotateParams{}); return err }, unknown},
		{"closed", token, func() error { return m.Close(t.Context()) }, http.StatusServiceUnavailable},
	} {
		if err := tt.do(); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		r, w := httptest.NewRequest("GET", "/", nil), httptest.NewRecorder()
		if tt.token != "" {
			r.Header.Set("Authorization", "Bearer "+tt.token)
		}
		if h.ServeHTTP(w, r); w.Code != tt.want {
			t.Errorf("%s: %d %s, want %d", tt.name, w.Code, w.Body, tt.want)
		}
	}
}

// Clients go on sending what they sent.
func TestOldHeaders(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		file  string
		cfg   *apikey.Config
		from  func(*oldRow) oldKey
		value string
	}{
		{"sha256.csv", tableConfig, fromTable, "Bearer "},
		{"sanctum.csv", sanctumConfig, fromSanctum, "Bearer "},
		{"drf.csv", drfConfig, fromDRF, "Api-Key "},
		{"drf.csv", drfConfig, fromDRF, "Bearer "},
	} {
		m := newManager(t, tt.cfg)
		old, _ := readOld(tt.file, tt.from)
		bring(t.Context(), m, old)
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Authorization", tt.value+readTokens(tt.file)[0].token)
		if p, _, err := m.Check(r, apikey.Policy{}); err != nil || p.Name() != old[0].params.Name {
			t.Errorf("%s, %s: %v", tt.file, tt.value, err)
		}
	}
}

// A rehearsal replaces slow digests, tells what would be refused, and lets
// everything pass.
func TestRehearse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := *drfConfig
		cfg.Now = func() time.Time { return migrated }
		m := newManagerOn(t, memstore.New(), &cfg)
		old, _ := readOld("drf.csv", fromDRF)
		bring(t.Context(), m, old[1:]) // all but 4Dlacvs2
		var told []apikey.Reason
		passed := 0
		h := rehearse(m, apikey.Policy{All: []apikey.Permission{"stock:read"}}, func(_ *http.Request, err error) {
			told = append(told, reasonOf(err))
		})(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { passed++ }))
		tokens := readTokens("drf.csv")
		for _, tok := range tokens {
			r := httptest.NewRequest("GET", "/", nil)
			r.Header.Set("Authorization", "Api-Key "+tok.token)
			h.ServeHTTP(httptest.NewRecorder(), r)
			synctest.Wait()
		}
		if diff := cmp.Diff([]apikey.Reason{apikey.ReasonInvalid, apikey.ReasonRevoked, apikey.ReasonExpired}, told); diff != "" || passed != len(tokens) {
			t.Errorf("%d of %d passed; told (-want +got)\n%s", passed, len(tokens), diff)
		}
		if key := keysByRow(t, m)["VbbSQ9j2"]; key.Version != 2 {
			t.Errorf("version %d of a key with a slow digest, want 2: it is replaced", key.Version)
		}
	})
}

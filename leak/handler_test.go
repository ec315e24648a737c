package leak_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/apikeytest"
	"github.com/go-apikey/apikey/internal/secretwatch"
	"github.com/go-apikey/apikey/leak"
)

// rig is a handler with what it told the host. Every token it ever made must
// stay out of that and of every answer.
type rig struct {
	*leak.Handler

	t      testing.TB
	github *github
	keys   *apikey.Manager
	mu     sync.Mutex
	events []leak.Event
	tokens []string
	said   strings.Builder
}

func newRig(t testing.TB, m *apikey.Manager, cfg leak.Config) *rig {
	t.Helper()
	r := &rig{t: t, github: newGitHub(), keys: m}
	t.Cleanup(r.github.Close)
	cfg.OnReport = func(_ context.Context, e leak.Event) {
		text, err := json.Marshal(e)
		if err != nil {
			t.Error(err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.events = append(r.events, e)
		fmt.Fprintf(&r.said, "%s %+v %#v %v\n", text, e, e, e.Err)
		secretwatch.Event(t.Name(), e)
	}
	r.Handler = leak.New(m, leak.GitHubKeys(&leak.KeysConfig{URL: r.github.URL}), &cfg)
	t.Cleanup(r.silent)
	return r
}

func (r *rig) silent() {
	said := r.said.String()
	for _, token := range r.tokens {
		if strings.Contains(said, token) || strings.Contains(said, token[len(token)-20:]) {
			r.t.Error("a token is in an answer or an event")
		}
	}
}

// issue makes a key of acct_42.
func (r *rig) issue() (*apikey.Key, string) {
	r.t.Helper()
	return r.issued(r.ring().Create(r.t.Context(), apikey.KeyParams{Name: "Production"}))
}

func (r *rig) rotate(id string, p apikey.RotateParams) string {
	r.t.Helper()
	_, token := r.issued(r.ring().Rotate(r.t.Context(), id, p))
	return token
}

func (r *rig) issued(i *apikey.Issued, err error) (*apikey.Key, string) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
	r.tokens = append(r.tokens, i.Token.Reveal())
	return i.Key, i.Token.Reveal()
}

func (r *rig) ring() *apikey.Keyring { return r.keys.Keyring("acct_42", apikey.Operator("test")) }

func (r *rig) key(id string) *apikey.Key {
	r.t.Helper()
	k, err := r.ring().Get(r.t.Context(), id)
	if err != nil {
		r.t.Fatal(err)
	}
	return k
}

// admits is what Verify says of a token: "" or why not.
func (r *rig) admits(token string) apikey.Reason {
	r.t.Helper()
	_, _, err := r.keys.Verify(r.t.Context(), apikey.Request{Token: token})
	denial, ok := errors.AsType[*apikey.Denial](err)
	if err != nil && !ok {
		r.t.Fatal(err)
	}
	if ok {
		return denial.Reason
	}
	return ""
}

// send reports a body and demands a status.
func (r *rig) send(status int, body []byte) *httptest.ResponseRecorder {
	r.t.Helper()
	return r.do(status, r.github.request(body))
}

func (r *rig) do(status int, req *http.Request) *httptest.ResponseRecorder {
	r.t.Helper()
	w := httptest.NewRecorder()
	var sent bytes.Buffer
	req.Body = io.NopCloser(io.TeeReader(req.Body, &sent))
	r.ServeHTTP(w, req)
	handOver(w, sent.Bytes())
	fmt.Fprintf(&r.said, "%v %s\n", w.Header(), w.Body)
	if w.Code != status {
		r.t.Fatalf("status %d: %s; want %d", w.Code, w.Body, status)
	}
	return w
}

// action is what was done at the latest.
func (r *rig) last() leak.Event {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.events) == 0 {
		r.t.Fatal("there was no event")
	}
	return r.events[len(r.events)-1]
}

type label struct {
	TokenHash string `json:"token_hash"`
	TokenType string `json:"token_type"`
	Label     string `json:"label"`
}

func labelOf(token, says string) label {
	sum := sha256.Sum256([]byte(token))
	return label{hex.EncodeToString(sum[:]), "example_api_key", says}
}

func labelsAre(t testing.TB, w *httptest.ResponseRecorder, want ...label) {
	t.Helper()
	var got []label
	d := json.NewDecoder(w.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	if ct := w.Header().Get("Content-Type"); ct != "application/json" {
		t.Errorf("Content-Type %q", ct)
	}
}

func TestVectors(t *testing.T) {
	data, err := os.ReadFile("testdata/github_secret_scanning_vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Vectors []struct {
			ID, Kid, Body, Sig string
			Valid              bool
		}
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(data) })) // its public_keys are as GitHub's
	t.Cleanup(server.Close)
	h := leak.New(apikeytest.NewManager(t, nil), leak.GitHubKeys(&leak.KeysConfig{URL: server.URL}), nil)
	status := func(kid, sig string, body []byte) int {
		r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
		r.Header["Github-Public-Key-Identifier"] = []string{kid}
		r.Header["Github-Public-Key-Signature"] = []string{sig}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		handOver(w, body)
		return w.Code
	}
	valid := 0
	for _, v := range file.Vectors {
		t.Run(v.ID, func(t *testing.T) {
			want := http.StatusUnauthorized
			if v.Valid {
				want = http.StatusOK
				valid++
			}
			if got := status(v.Kid, v.Sig, []byte(v.Body)); got != want {
				t.Fatalf("status %d, want %d", got, want)
			}
			for _, part := range []struct {
				name string
				text string
				try  func(text string) int
			}{
				{"body", v.Body, func(s string) int { return status(v.Kid, v.Sig, []byte(s)) }},
				{"signature", v.Sig, func(s string) int { return status(v.Kid, s, []byte(v.Body)) }},
				{"identifier", v.Kid, func(s string) int { return status(s, v.Sig, []byte(v.Body)) }},
			} {
				for bit := range 8 * len(part.text) {
					flipped := []byte(part.text)
					flipped[bit/8] ^= 1 << (bit % 8)
					if got := part.try(string(flipped)); got != http.StatusUnauthorized {
						t.Errorf("with bit %d of the %s flipped: status %d", bit, part.name, got)
					}
				}
			}
		})
	}
	if valid != 3 {
		t.Errorf("%d valid vectors, want 3", valid)
	}
}

func TestRefusals(t *testing.T) {
	r := newRig(t, apikeytest.NewManager(t, nil), leak.Config{})
	key, token := r.issue()
	body := reportOf(token)
	otherGitHub := newGitHub()
	t.Cleanup(otherGitHub.Close)
	set := func(name string, values ...string) func(*http.Request) {
		return func(r *http.Request) { r.Header[name] = values }
	}
	const id, sig = "Github-Public-Key-Identifier", "Github-Public-Key-Signature"
	for _, tt := range []struct {
		name   string
		body   []byte
		change func(*http.Request)
		status int
		err    error
	}{
		{"GET", body, func(r *http.Request) { r.Method = http.MethodGet }, 405, nil},
		{"no identifier", body, set(id), 401, leak.ErrUnsigned},
		{"empty identifier", body, set(id, ""), 401, leak.ErrUnsigned},
		{"two identifiers", body, set(id, r.github.keyID, r.github.keyID), 401, leak.ErrUnsigned},
		{"unknown identifier", body, set(id, "0000"), 401, leak.ErrUnknownKey},
		{"long identifier", body, set(id, strings.Repeat("0", 129)), 401, leak.ErrUnsigned},
		{"no signature", body, set(sig), 401, leak.ErrUnsigned},
		{"two signatures", body, set(sig, r.github.sign(body), r.github.sign(body)), 401, leak.ErrUnsigned},
		{"no base64", body, set(sig, "!"), 401, leak.ErrSignature},
		{"no DER", body, set(sig, "AAAA"), 401, leak.ErrSignature},
		{"another's signature", body, set(sig, otherGitHub.sign(body)), 401, leak.ErrSignature},
		{"of another body", body, set(sig, r.github.sign([]byte("[]"))), 401, leak.ErrSignature},
		{"more after the DER", body, set(sig, trailing(r.github.sign(body))), 401, leak.ErrSignature},
		{"unsigned and malformed", []byte("{"), set(sig, r.github.sign(body)), 401, leak.ErrSignature},
		{"over 1 MiB", bytes.Repeat([]byte(" "), leak.MaxBody+1), nil, 413, leak.ErrTooLarge},
		{"over 1 MiB, no length", bytes.Repeat([]byte(" "), leak.MaxBody+1), func(r *http.Request) { r.ContentLength = -1 }, 413, leak.ErrTooLarge},
		{"cut short", body, func(r *http.Request) {
			r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), failing{}))
		}, 400, leak.ErrMalformed},
		{"empty", nil, nil, 400, leak.ErrMalformed},
		{"half", body[:len(body)/2], nil, 400, leak.ErrMalformed},
		{"no list", []byte(`{"token":"a"}`), nil, 400, leak.ErrMalformed},
		{"null", []byte(`null`), nil, 400, leak.ErrMalformed},
		{"no objects", []byte(`["a"]`), nil, 400, leak.ErrMalformed},
		{"token is a number", []byte(`[{"token":1234567}]`), nil, 400, leak.ErrMalformed},
		{"two lists", append(bytes.Clone(body), body...), nil, 400, leak.ErrMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			req := r.github.request(tt.body)
			if tt.change != nil {
				tt.change(req)
			}
			r.t, r.events = t, nil
			w := r.do(tt.status, req)
			if tt.err != nil {
				if e := r.last(); !errors.Is(e.Err, tt.err) || e.Report.Key != nil || e.Action != "" {
					t.Errorf("the event is %+v, want %v", e, tt.err)
				}
			}
			if allow := w.Header().Get("Allow"); (allow == "POST") != (tt.status == 405) {
				t.Errorf("Allow: %q", allow)
			}
		})
	}
	r.t = t
	if !r.key(key.ID).RevokedAt.IsZero() {
		t.Error("a refused report revoked a key")
	}
}

func trailing(signature string) string {
	der, err := base64.StdEncoding.DecodeString(signature)
	if err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(append(der, 0))
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// A host's KeyFunc that is wrong lets nobody in.
func TestKeyFunc(t *testing.T) {
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	g := newGitHub()
	t.Cleanup(g.Close)
	for name, keys := range map[string]leak.KeyFunc{
		"nil, nil":    func(context.Context, string) (*ecdsa.PublicKey, error) { return nil, nil },
		"other curve": func(context.Context, string) (*ecdsa.PublicKey, error) { return &p384.PublicKey, nil },
		"fails":       func(context.Context, string) (*ecdsa.PublicKey, error) { return nil, io.ErrUnexpectedEOF },
	} {
		t.Run(name, func(t *testing.T) {
			w := g.report(leak.New(apikeytest.NewManager(t, nil), keys, nil))
			if w.Code != 503 || w.Header().Get("Retry-After") != "60" {
				t.Errorf("status %d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
			}
		})
	}
}

func TestWiring(t *testing.T) {
	m := apikeytest.NewManager(t, nil)
	for name, f := range map[string]func(){
		"Manager": func() { leak.New(nil, leak.GitHubKeys(nil), nil) },
		"KeyFunc": func() { leak.New(m, nil, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("nil passed")
				}
			}()
			f()
		})
	}
}

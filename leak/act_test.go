package leak_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/apikeytest"
	"github.com/go-apikey/apikey/leak"
	"github.com/go-apikey/apikey/memstore"
)

func always(a leak.Action) leak.Config {
	return leak.Config{Policy: func(context.Context, leak.Report) (leak.Action, error) { return a, nil }}
}

func TestActions(t *testing.T) {
	for _, tt := range []struct {
		name   string
		cfg    leak.Config
		action leak.Action
		want   apikey.Reason
	}{
		{"default", leak.Config{}, leak.Revoke, apikey.ReasonRevoked},
		{"revoke", always(leak.Revoke), leak.Revoke, apikey.ReasonRevoked},
		{"hold", always(leak.Hold), leak.Hold, apikey.ReasonHeld},
		{"disable", always(leak.Disable), leak.Disable, apikey.ReasonDisabled},
		{"end secret", always(leak.EndSecret), leak.EndSecret, apikey.ReasonRotated},
		{"observe", always(leak.Observe), leak.Observe, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, apikeytest.NewManager(t, nil), tt.cfg)
			key, token := r.issue()
			_, other := r.issue()
			labelsAre(t, r.send(200, reportOf(token)), labelOf(token, "true_positive"))
			if got := r.admits(token); got != tt.want {
				t.Errorf("the token is now refused as %q, want %q", got, tt.want)
			}
			if got := r.admits(other); got != "" {
				t.Errorf("another key's token is refused: %s", got)
			}
			e := r.last()
			if e.Action != tt.action || e.Err != nil || e.Report.Key.ID != key.ID || !e.Report.State.Live {
				t.Errorf("the event is %+v", e)
			}
			if tt.want == "" {
				return
			}
			history, err := r.ring().History(t.Context(), apikey.HistoryQuery{KeyID: key.ID, Limit: 1})
			if err != nil {
				t.Fatal(err)
			}
			if actor := history.Changes[0].Actor; actor != leak.ActorID {
				t.Errorf("the history says %q did it", actor)
			}
		})
	}
}

// A token that was rotated out is not the policy's business, whatever it says.
func TestRotatedOut(t *testing.T) {
	r := newRig(t, apikeytest.NewManager(t, nil), leak.Config{Policy: func(context.Context, leak.Report) (leak.Action, error) {
		t.Error("the policy was asked")
		return leak.Revoke, nil
	}})
	key, first := r.issue()
	second := r.rotate(key.ID, apikey.RotateParams{})
	labelsAre(t, r.send(200, reportOf(first)), labelOf(first, "true_positive"))
	if e := r.last(); e.Action != "" || e.Err != nil || e.Report.State != (apikey.SecretState{N: 1}) || e.Report.Key.ID != key.ID {
		t.Errorf("the event is %+v", e)
	}
	if got := r.admits(second); got != "" {
		t.Errorf("the live token is refused: %s", got)
	}
	third := r.rotate(key.ID, apikey.RotateParams{}) // now the first is forgotten
	labelsAre(t, r.send(200, reportOf(first)), labelOf(first, "false_positive"))
	if got := r.admits(third); got != "" {
		t.Errorf("the live token is refused: %s", got)
	}
}

func TestEndSecret(t *testing.T) {
	for _, deliver := range []bool{false, true} {
		t.Run(fmt.Sprintf("deliver=%v", deliver), func(t *testing.T) {
			var delivered []string
			cfg := always(leak.EndSecret)
			if deliver {
				cfg.Deliver = func(_ context.Context, i *apikey.Issued) { delivered = append(delivered, i.Token.Reveal()) }
			}
			r := newRig(t, apikeytest.NewManager(t, nil), cfg)
			key, older := r.issue()
			newer := r.rotate(key.ID, apikey.RotateParams{Grace: time.Hour})

			r.send(200, reportOf(older))
			if o, n := r.admits(older), r.admits(newer); o != apikey.ReasonRotated || n != "" || len(delivered) > 0 {
				t.Fatalf("the older one leaked: it is now %q, the newer %q, delivered %d", o, n, len(delivered))
			}
			for range 2 { // reported again, nothing is rotated again
				r.send(200, reportOf(newer))
			}
			if n := r.admits(newer); n != apikey.ReasonRotated {
				t.Fatalf("the newest one leaked and is now %q", n)
			}
			if deliver {
				if len(delivered) != 1 || r.admits(delivered[0]) != "" {
					t.Errorf("%d tokens were delivered, and the first does not work", len(delivered))
				}
				r.tokens = append(r.tokens, delivered...)
			}
			if got := r.admits(r.rotate(key.ID, apikey.RotateParams{})); got != "" {
				t.Errorf("what the owner rotates to is refused: %s", got)
			}
			if k := r.key(key.ID); k.State(time.Now()) != apikey.StateActive {
				t.Errorf("the key is %s", k.State(time.Now()))
			}
		})
	}
}

// The newest token leaks while the one before is in its grace, which goes on.
func TestEndNewestSecretAlone(t *testing.T) {
	var delivered []string
	cfg := always(leak.EndSecret)
	cfg.Deliver = func(_ context.Context, i *apikey.Issued) { delivered = append(delivered, i.Token.Reveal()) }
	r := newRig(t, apikeytest.NewManager(t, nil), cfg)
	key, older := r.issue()
	newest := r.rotate(key.ID, apikey.RotateParams{Grace: time.Hour})
	r.send(200, reportOf(newest))
	if len(delivered) != 1 {
		t.Fatalf("%d tokens were delivered", len(delivered))
	}
	r.tokens = append(r.tokens, delivered...)
	if o, n, d := r.admits(older), r.admits(newest), r.admits(delivered[0]); o != "" || n == "" || d != "" {
		t.Errorf("the older one is %q, the leaked one %q, the new one %q; want only the leaked one refused", o, n, d)
	}
}

// Both live tokens leak, in one report.
func TestEndBothSecrets(t *testing.T) {
	r := newRig(t, apikeytest.NewManager(t, nil), always(leak.EndSecret))
	key, older := r.issue()
	newer := r.rotate(key.ID, apikey.RotateParams{Grace: time.Hour})
	r.send(200, reportOf(older, newer))
	for i, token := range []string{older, newer} {
		if got := r.admits(token); got != apikey.ReasonRotated && got != apikey.ReasonInvalid { // forgotten
			t.Errorf("token %d is now %q", i, got)
		}
	}
}

// A key that cannot be rotated is held.
func TestEndSecretHolds(t *testing.T) {
	refuse := false
	m := apikeytest.NewManager(t, &apikey.Config{Plan: func(context.Context, string) (apikey.Plan, error) {
		plan := apikey.Plan{Name: "free", MaxKeys: apikey.NoCap}
		if refuse {
			plan.Refusal = "not paid"
		}
		return plan, nil
	}})
	r := newRig(t, m, always(leak.EndSecret))
	key, token := r.issue()
	refuse = true
	r.send(200, reportOf(token))
	if e := r.last(); e.Action != leak.Hold || r.key(key.ID).HeldAt.IsZero() {
		t.Errorf("the event is %+v", e)
	}
}

// The owner rotates while the leaked token is being ended: theirs stays.
func TestEndSecretMeetsRotation(t *testing.T) {
	store := &apikeytest.FaultyStore{Store: memstore.New()}
	m, err := apikey.New(store, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close(context.Background()) })
	r := newRig(t, m, always(leak.EndSecret))
	key, leaked := r.issue()
	var owners string
	reads := store.Calls("Get")
	store.Fail = func(op string, n int) apikeytest.Fault {
		// Lookup does twice, and then Rotate reads the key.
		if op == "Get" && n == reads+3 && owners == "" {
			owners = "rotating"
			owners = r.rotate(key.ID, apikey.RotateParams{})
		}
		return apikeytest.NoFault
	}
	r.send(200, reportOf(leaked))
	store.Fail = nil
	if owners == "" {
		t.Fatal("nobody rotated meanwhile")
	}
	if l, o := r.admits(leaked), r.admits(owners); l != apikey.ReasonRotated || o != "" {
		t.Errorf("the leaked token is %q, the owner's %q", l, o)
	}
}

func TestEndedKeys(t *testing.T) {
	r := newRig(t, apikeytest.NewManager(t, nil), leak.Config{Policy: func(_ context.Context, rep leak.Report) (leak.Action, error) {
		if rep.Key.Name == "revoked" {
			t.Error("the policy was asked about a revoked key")
		}
		return leak.EndSecret, nil
	}})
	key, token := r.issued(r.ring().Create(t.Context(), apikey.KeyParams{Name: "revoked"}))
	if _, err := r.ring().Revoke(t.Context(), key.ID); err != nil {
		t.Fatal(err)
	}
	labelsAre(t, r.send(200, reportOf(token)), labelOf(token, "true_positive"))
	if e := r.last(); e.Action != "" || e.Err != nil || e.Report.Key.ID != key.ID {
		t.Errorf("the event is %+v", e)
	}
	if err := r.ring().Delete(t.Context(), key.ID); err != nil {
		t.Fatal(err)
	}
	labelsAre(t, r.send(200, reportOf(token)), labelOf(token, "false_positive"))

	// A held key may be released: its token is ended all the same.
	held, token := r.issue()
	if _, err := r.ring().Hold(t.Context(), held.ID); err != nil {
		t.Fatal(err)
	}
	r.send(200, reportOf(token))
	if _, err := r.ring().Release(t.Context(), held.ID); err != nil {
		t.Fatal(err)
	}
	if got := r.admits(token); got != apikey.ReasonRotated {
		t.Errorf("after Release the leaked token is %q", got)
	}
}

func TestNotOurs(t *testing.T) {
	r := newRig(t, apikeytest.NewManager(t, nil), leak.Config{})
	_, token := r.issue()
	others := apikeytest.Token(t, apikeytest.NewManager(t, &apikey.Config{Formats: []apikey.Format{{Prefix: "other_"}}}), "x")
	sameForm := apikeytest.Token(t, apikeytest.NewManager(t, nil), "x")
	flipped := []byte(token)
	flipped[20] ^= 1
	for _, s := range []string{others, sameForm, string(flipped), token[:len(token)-1], token + "x", "", "NMIfyYncKcRALEXAMPLE", strings.Repeat("x", 100_000), "\x00 \u202e"} {
		labelsAre(t, r.send(200, reportOf(s)), labelOf(s, "false_positive"))
		if e := r.last(); e.Report.Key != nil || e.Err != nil || e.Action != "" {
			t.Errorf("the event is %+v", e)
		}
	}
	r.tokens = append(r.tokens, others, sameForm)
	if got := r.admits(token); got != "" {
		t.Errorf("the key's own token is refused: %s", got)
	}
	labelsAre(t, r.send(200, []byte("[]")), []label{}...)
}

func TestDuplicates(t *testing.T) {
	var asked []leak.Report
	r := newRig(t, apikeytest.NewManager(t, nil), leak.Config{Policy: func(_ context.Context, rep leak.Report) (leak.Action, error) {
		asked = append(asked, rep)
		return leak.Observe, nil
	}})
	_, token := r.issue()
	body, err := json.Marshal([]leaked{
		{token, "a", "https://github.com/1", "commit"},
		{token, "a", "https://github.com/2?key=" + token, "gist_content"},
		{token, "b", "", "npm"},
		{token, "a", "https://github.com/1", "commit"},
	})
	if err != nil {
		t.Fatal(err)
	}
	a, b := labelOf(token, "true_positive"), labelOf(token, "true_positive")
	a.TokenType, b.TokenType = "a", "b"
	labelsAre(t, r.send(200, body), a, b)
	if len(asked) != 1 || len(r.events) != 1 {
		t.Fatalf("the policy was asked %d times, the host told %d times", len(asked), len(r.events))
	}
	want := []leak.Place{
		{"https://github.com/1", "commit"},
		{"https://github.com/2?key=[token]", "gist_content"},
		{"", "npm"},
		{"https://github.com/1", "commit"},
	}
	if diff := cmp.Diff(want, asked[0].Places); diff != "" {
		t.Errorf("places (-want +got):\n%s", diff)
	}
}

// Also where another token stands beside the one reported, nobody sees it.
func TestTokensElsewhere(t *testing.T) {
	r := newRig(t, apikeytest.NewManager(t, nil), leak.Config{})
	_, token := r.issue()
	_, other := r.issue()
	body, err := json.Marshal([]leaked{{token, "type " + other, "https://x/" + other, other}})
	if err != nil {
		t.Fatal(err)
	}
	w := r.send(200, body)
	if !strings.Contains(w.Body.String(), `"type [token]"`) {
		t.Errorf("the answer is %s", w.Body)
	}
}

func TestManyTokens(t *testing.T) {
	r := newRig(t, apikeytest.NewManager(t, nil), leak.Config{})
	_, first := r.issue()
	_, last := r.issue()
	// Short ones: 10,000 of full length do not fit into MaxBody.
	bodyOf := func(n int) []byte {
		var b bytes.Buffer
		fmt.Fprintf(&b, `[{"token":%q}`, first)
		for i := range n - 2 {
			fmt.Fprintf(&b, `,{"token":"not ours %d"}`, i)
		}
		fmt.Fprintf(&b, `,{"token":%q}]`, last)
		return b.Bytes()
	}
	var labels []label
	if err := json.Unmarshal(r.send(200, bodyOf(leak.MaxTokens)).Body.Bytes(), &labels); err != nil {
		t.Fatal(err)
	}
	ours := 0
	for _, l := range labels {
		if l.Label == "true_positive" {
			ours++
		}
	}
	if len(labels) != leak.MaxTokens || ours != 2 || len(r.events) != leak.MaxTokens {
		t.Errorf("%d labels, %d of them ours, %d events", len(labels), ours, len(r.events))
	}
	if a, b := r.admits(first), r.admits(last); a != apikey.ReasonRevoked || b != apikey.ReasonRevoked {
		t.Errorf("the first is %q, the last %q", a, b)
	}

	_, first = r.issue()
	_, last = r.issue()
	r.send(413, bodyOf(leak.MaxTokens+1))
	if a, b := r.admits(first), r.admits(last); a != apikey.ReasonRevoked || b != "" {
		t.Errorf("with one too many the first is %q, the last %q", a, b)
	}
	if e := r.last(); !errors.Is(e.Err, leak.ErrTooLarge) {
		t.Errorf("the event is %+v", e)
	}
}

// A full body of real tokens, each on a key of its own.
func TestAsManyAsFit(t *testing.T) {
	r := newRig(t, apikeytest.NewManager(t, nil), leak.Config{})
	var tokens []string
	for range 2_000 {
		_, token := r.issue()
		tokens = append(tokens, token)
	}
	r.send(200, reportOf(tokens...))
	for _, token := range tokens {
		if got := r.admits(token); got != apikey.ReasonRevoked {
			t.Fatalf("a token is %q", got)
		}
	}
}

func TestStoreFails(t *testing.T) {
	for _, op := range []string{"Get", "Update"} {
		for _, fault := range []apikeytest.Fault{apikeytest.FailBefore, apikeytest.FailAfter, apikeytest.Panic} {
			t.Run(fmt.Sprint(op, fault), func(t *testing.T) {
				store := &apikeytest.FaultyStore{Store: memstore.New()}
				m, err := apikey.New(store, nil)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = m.Close(context.Background()) })
				r := newRig(t, m, leak.Config{})
				var tokens []string
				for range 20 {
					_, token := r.issue()
					tokens = append(tokens, token)
				}
				before := store.Calls(op)
				store.Fail = func(o string, n int) apikeytest.Fault {
					if o == op && n == before+5 {
						return fault
					}
					return apikeytest.NoFault
				}
				w := r.send(503, reportOf(tokens...))
				if w.Header().Get("Retry-After") == "" {
					t.Error("no Retry-After")
				}
				failed := 0
				for _, e := range r.events {
					if e.Err != nil {
						failed++
					}
				}
				if failed != 1 {
					t.Errorf("%d tokens failed, want 1", failed)
				}
				live := 0
				for _, token := range tokens {
					if r.admits(token) == "" {
						live++
					}
				}
				if live > 1 {
					t.Errorf("%d of %d tokens still work: what could be done was not", live, len(tokens))
				}
				r.send(200, reportOf(tokens...))
				for _, token := range tokens {
					if got := r.admits(token); got != apikey.ReasonRevoked {
						t.Errorf("after the second report a token is %q", got)
					}
				}
			})
		}
	}
}

// A store that hangs does not hold a request up for longer than Timeout.
func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &apikeytest.FaultyStore{Store: memstore.New()}
		m, err := apikey.New(store, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = m.Close(context.Background()) }()
		issued, err := m.Keyring("acct_42", apikey.Operator("test")).Create(t.Context(), apikey.KeyParams{Name: "x"})
		if err != nil {
			t.Fatal(err)
		}
		store.Fail = func(op string, _ int) apikeytest.Fault {
			if op == "Get" {
				return apikeytest.Hang
			}
			return apikeytest.NoFault
		}
		g := newSigner()
		h := leak.New(m, g.key, nil)
		tokens := []string{issued.Token.Reveal()}
		for range 200 { // each of these waits for the store, too
			tokens = append(tokens, apikeytest.Token(t, apikeytest.NewManager(t, nil), "x"))
		}
		start := time.Now()
		if w := g.report(h, tokens...); w.Code != 503 {
			t.Errorf("status %d", w.Code)
		}
		if took := time.Since(start); took != 25*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// That GitHub hangs up keeps no key alive.
func TestClientGone(t *testing.T) {
	r := newRig(t, apikeytest.NewManager(t, nil), leak.Config{})
	r.send(200, []byte("[]")) // the keys are fetched
	_, token := r.issue()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r.do(200, r.github.request(reportOf(token)).WithContext(ctx))
	if got := r.admits(token); got != apikey.ReasonRevoked {
		t.Errorf("the token is %q", got)
	}
}

// What the host's functions do wrong is no reason to pass a token by in silence.
func TestPolicyFails(t *testing.T) {
	mistake := errors.New("no such customer")
	for name, policy := range map[string]func(context.Context, leak.Report) (leak.Action, error){
		"error":   func(context.Context, leak.Report) (leak.Action, error) { return leak.Revoke, mistake },
		"panic":   func(context.Context, leak.Report) (leak.Action, error) { panic(mistake) },
		"none":    func(context.Context, leak.Report) (leak.Action, error) { return "", nil },
		"unknown": func(context.Context, leak.Report) (leak.Action, error) { return "end", nil },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, apikeytest.NewManager(t, nil), leak.Config{Policy: policy})
			_, token := r.issue()
			r.send(503, reportOf(token))
			if e := r.last(); !errors.Is(e.Err, leak.ErrPolicy) || e.Action != "" || e.Report.Key == nil {
				t.Errorf("the event is %+v", e)
			}
			if name == "error" && !errors.Is(r.last().Err, mistake) {
				t.Error("the policy's own error is not in the event")
			}
			if got := r.admits(token); got != "" {
				t.Errorf("the token is refused: %s", got)
			}
		})
	}
}

// The host may do to its Report what it likes.
func TestReportIsTheHosts(t *testing.T) {
	r := newRig(t, apikeytest.NewManager(t, nil), leak.Config{Policy: func(_ context.Context, rep leak.Report) (leak.Action, error) {
		rep.Key.ID, rep.Key.Owner = "", ""
		return leak.Revoke, nil
	}})
	_, token := r.issue()
	r.send(200, reportOf(token))
	if got := r.admits(token); got != apikey.ReasonRevoked {
		t.Errorf("the token is %q", got)
	}
}

func TestOnReportPanics(t *testing.T) {
	m := apikeytest.NewManager(t, nil)
	g := newGitHub()
	t.Cleanup(g.Close)
	var mu sync.Mutex
	told := 0
	h := leak.New(m, leak.GitHubKeys(&leak.KeysConfig{URL: g.URL}), &leak.Config{OnReport: func(context.Context, leak.Event) {
		mu.Lock()
		defer mu.Unlock()
		told++
		panic("the host's log is full")
	}})
	if w := g.report(h, apikeytest.Token(t, m, "a"), apikeytest.Token(t, m, "b")); w.Code != 200 || told != 2 {
		t.Errorf("status %d, told %d times", w.Code, told)
	}
}

func TestManagerClosed(t *testing.T) {
	m, err := apikey.New(memstore.New(), nil)
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, m, leak.Config{})
	_, token := r.issue()
	if err := m.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.send(503, reportOf(token))
	if e := r.last(); !errors.Is(e.Err, apikey.ErrClosed) {
		t.Errorf("the event is %+v", e)
	}
}

// The order of the labels is that of the report, though tokens are handled at once.
func TestOrder(t *testing.T) {
	r := newRig(t, apikeytest.NewManager(t, nil), leak.Config{})
	var tokens []string
	var want []label
	for i := range 100 {
		token, says := fmt.Sprint("not ours ", i), "false_positive"
		if i%3 == 0 {
			_, token = r.issue()
			says = "true_positive"
		}
		tokens, want = append(tokens, token), append(want, labelOf(token, says))
	}
	labelsAre(t, r.send(200, reportOf(tokens...)), want...)
	slices.Reverse(tokens)
	slices.Reverse(want)
	labelsAre(t, r.send(200, reportOf(tokens...)), want...)
}

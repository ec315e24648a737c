package apikey_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/go-apikey/apikey"
)

// tokens names the tokens of one key, oldest first.
type tokens []*apikey.Issued

// rotate gives the key of ts another token.
func (r *rig) rotate(ts *tokens, p apikey.RotateParams) {
	r.t.Helper()
	issued, err := r.as(operator).Rotate(r.t.Context(), (*ts)[0].Key.ID, p)
	if err != nil {
		r.t.Fatalf("Rotate: %v", err)
	}
	*ts = append(*ts, issued)
}

// wantVerdicts fails unless Verify says so to each of ts.
func (r *rig) wantVerdicts(when string, ts tokens, want ...string) {
	r.t.Helper()
	var got []string
	for _, issued := range ts {
		got = append(got, r.verdict(issued.Token.Reveal()))
	}
	if d := rigDiff(want, got); d != "" {
		r.t.Errorf("%s: tokens, oldest first (-want +got):\n%s", when, d)
	}
}

func TestRotateWithoutGrace(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	ts := tokens{r.issue(apikey.KeyParams{Name: "mine", Permissions: apikey.Permissions{"calls:read"}})}
	want := ts[0].Key
	r.advance(time.Minute)
	r.rotate(&ts, apikey.RotateParams{})
	r.wantVerdicts("at once", ts, "rotated", "ok")

	want.Version = 2
	want.Secrets = []apikey.Secret{
		{N: 2, Prefix: "rg_live_", CreatedAt: r.now()},
		{N: 1, Prefix: "rg_live_", CreatedAt: rigStart, EndedAt: r.now()},
	}
	if d := rigDiff(want, ts[1].Key); d != "" {
		t.Errorf("the key changed in more than its secrets (-want +got):\n%s", d)
	}
	// What was ended is not brought back by a clock that is wrong.
	r.clock.Store(rigStart.UnixMicro())
	r.wantVerdicts("with the clock back at the start", ts, "rotated", "ok")
}

func TestRotateWithGrace(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	ts := tokens{r.issue(apikey.KeyParams{})}
	r.rotate(&ts, apikey.RotateParams{Grace: time.Hour})
	r.wantVerdicts("at once", ts, "ok", "ok")
	r.advance(time.Hour - time.Microsecond)
	r.wantVerdicts("just before the deadline", ts, "ok", "ok")
	r.advance(time.Microsecond)
	r.wantVerdicts("at the deadline", ts, "rotated", "ok")

	// The time being over, the next rotation has nothing to wait for.
	r.rotate(&ts, apikey.RotateParams{Grace: apikeyMaxGrace})
	r.wantVerdicts("after another", ts, "invalid", "ok", "ok")
	r.advance(apikeyMaxGrace)
	r.wantVerdicts("after the longest grace", ts, "invalid", "rotated", "ok")
}

const apikeyMaxGrace = 30 * 24 * time.Hour

func TestRotateWhileRotating(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	ts := tokens{r.issue(apikey.KeyParams{})}
	id := ts[0].Key.ID
	r.rotate(&ts, apikey.RotateParams{Grace: time.Hour})
	before := r.snapshot()
	_, err := r.as(operator).Rotate(t.Context(), id, apikey.RotateParams{Grace: time.Hour})
	wantError(t, "Rotate with two live tokens", err, apikey.ErrRotating)
	r.unchanged(before, "ErrRotating")
	r.wantVerdicts("after ErrRotating", ts, "ok", "ok")

	r.rotate(&ts, apikey.RotateParams{Grace: time.Hour, EndOldest: true})
	r.wantVerdicts("with EndOldest", ts, "invalid", "ok", "ok")
	r.rotate(&ts, apikey.RotateParams{EndOldest: true})
	r.wantVerdicts("without grace", ts, "invalid", "invalid", "rotated", "ok")
	r.rotate(&ts, apikey.RotateParams{Grace: time.Hour})
	r.rotate(&ts, apikey.RotateParams{})
	r.wantVerdicts("without grace and EndOldest all earlier ones end", ts, "invalid", "invalid", "invalid", "invalid", "rotated", "ok")
}

func TestEndRotation(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	ts := tokens{r.issue(apikey.KeyParams{})}
	id := ts[0].Key.ID
	r.rotate(&ts, apikey.RotateParams{Grace: time.Hour})
	r.advance(time.Minute)
	key, err := r.as(operator).EndRotation(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	r.wantVerdicts("after EndRotation", ts, "rotated", "ok")
	if old := key.Secrets[1]; !old.EndedAt.Equal(r.now()) || key.Version != 3 {
		t.Errorf("the earlier secret %+v in version %d", old, key.Version)
	}
	before := r.snapshot()
	r.advance(time.Minute)
	for range 2 {
		if _, err := r.as(operator).EndRotation(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	r.unchanged(before, "ending what has ended")

	// What ended by its deadline is left as it is.
	r.rotate(&ts, apikey.RotateParams{Grace: time.Hour})
	r.advance(time.Hour)
	before = r.snapshot()
	if _, err := r.as(operator).EndRotation(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	r.unchanged(before, "ending what has ended by its deadline")
}

func TestSecretNumbersAreNeverReused(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	ts := tokens{r.issue(apikey.KeyParams{})}
	seen := map[string]bool{ts[0].Token.Reveal(): true}
	for i := range 40 {
		r.rotate(&ts, apikey.RotateParams{Grace: time.Duration(i%3) * time.Second, EndOldest: i%2 == 0 || i%3 == 2})
		if i%4 == 0 {
			if _, err := r.as(operator).EndRotation(t.Context(), ts[0].Key.ID); err != nil {
				t.Fatal(err)
			}
		}
		r.advance(time.Duration(i%5) * time.Second)
		newest := ts[len(ts)-1]
		secrets := newest.Key.Secrets
		if len(secrets) != 2 || secrets[0].N != uint32(i+2) || secrets[1].N != uint32(i+1) {
			t.Fatalf("rotation %d: secrets %+v", i, secrets)
		}
		if token := newest.Token.Reveal(); seen[token] {
			t.Fatal("a token was issued twice")
		} else {
			seen[token] = true
		}
		p, _, err := r.Verify(t.Context(), apikey.Request{Token: newest.Token.Reveal()})
		if err != nil || p.Secret() != secrets[0].N || p.KeyID() != ts[0].Key.ID {
			t.Fatalf("rotation %d: %v, %v", i, p, err)
		}
	}
}

func TestRotateToAnotherFormat(t *testing.T) {
	t.Parallel()
	tests := []struct {
		from, to string
		want     string // prefix of the new token; "": ErrFormat
	}{
		{"rg_live_", "", "rg_live_"},
		{"new_live_", "", "new_live_"},
		{"rg_live_", "new_live_", "new_live_"},
		{"new_live_", "rg_live_", "rg_live_"},
		{"rk_live_", "", "rk_live_"},
		{"rg_test_", "rg_test_", "rg_test_"},
		{"rg_live_", "rg_test_", ""},  // another environment
		{"rg_test_", "rg_live_", ""},  // likewise
		{"rg_live_", "rk_live_", ""},  // another length of ID
		{"rk_live_", "rg_live_", ""},  // likewise
		{"rg_live_", "old_live_", ""}, // no longer issued
		{"rg_live_", "unknown_", ""},
		{"rg_live_", "RG_LIVE_", ""},
		{"old_live_", "old_live_", ""},
		{"old_live_", "", "rg_live_"}, // the first that is issued
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%s to %q", tt.from, tt.to), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			var ts tokens
			if tt.from == "old_live_" {
				token := oldLiveToken(t)
				key, err := r.as(operator).Import(t.Context(), apikey.ImportParams{KeyParams: apikey.KeyParams{Name: "old"}, Token: token})
				if err != nil {
					t.Fatal(err)
				}
				if got := r.verdict(token); got != "ok" {
					t.Fatalf("a token of a format that is no longer issued: %s", got)
				}
				ts = tokens{{Key: key}}
			} else {
				ts = tokens{r.issue(apikey.KeyParams{Prefix: tt.from})}
			}
			before := r.snapshot()
			issued, err := r.as(operator).Rotate(t.Context(), ts[0].Key.ID, apikey.RotateParams{Prefix: tt.to, Grace: time.Hour})
			if tt.want == "" {
				wantError(t, "Rotate", err, apikey.ErrFormat)
				r.unchanged(before, "Rotate")
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if secrets := issued.Key.Secrets; secrets[0].Prefix != tt.want || secrets[1].Prefix != tt.from {
				t.Errorf("prefixes %q and %q, want %q and %q", secrets[0].Prefix, secrets[1].Prefix, tt.want, tt.from)
			}
			if got := r.verdict(issued.Token.Reveal()); got != "ok" || issued.Token.Reveal()[:len(tt.want)] != tt.want {
				t.Errorf("the new token %v: %s", issued.Token, got)
			}
		})
	}
}

// oldLiveToken is a token from when old_live_ was issued.
func oldLiveToken(t *testing.T) string {
	t.Helper()
	r := newRig(t, func(cfg *apikey.Config) { cfg.Formats = []apikey.Format{{Prefix: "old_live_", Environment: "live"}} })
	return r.issue(apikey.KeyParams{}).Token.Reveal()
}

func TestRotateRefusesGraceOutOfBounds(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	id := r.issue(apikey.KeyParams{}).Key.ID
	before := r.snapshot()
	for _, grace := range []time.Duration{-1, apikeyMaxGrace + 1, 1<<63 - 1, -1 << 63} {
		_, err := r.as(operator).Rotate(t.Context(), id, apikey.RotateParams{Grace: grace})
		wantFields(t, fmt.Sprint("grace ", grace), err, "Grace")
	}
	r.unchanged(before, "wrong grace")
}

// The state of a key is not changed by rotating it.
func TestRotateRevivesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	for verb, want := range map[string]string{"enable": "disabled", "release": "held", "expire": "expired"} {
		p := apikey.KeyParams{Name: "x"}
		id := ""
		if verb == "expire" {
			p.ExpiresAt = r.now().Add(time.Minute)
			id = r.issue(p).Key.ID
			r.advance(time.Minute)
		} else {
			id = r.keyFor(verb, nil)
		}
		issued, err := r.as(operator).Rotate(t.Context(), id, apikey.RotateParams{})
		if err != nil {
			t.Fatal(err)
		}
		if got := r.verdict(issued.Token.Reveal()); got != want {
			t.Errorf("a new token of a key that is %s: %s", want, got)
		}
	}
}

// TestReplaceLostToken: a rotation whose outcome was unknown left a token that
// nobody has; the one that clients use works on while another takes its place.
func TestReplaceLostToken(t *testing.T) {
	w := newWorld(t)
	first := must[*apikey.Issued](t)(w.ring().Create(t.Context(), apikey.KeyParams{Name: "a"}))
	id := first.Key.ID
	if _, err := w.ring().Rotate(t.Context(), id, apikey.RotateParams{Replace: 1}); !errors.Is(err, apikey.ErrVersion) {
		t.Errorf("replacing the only token: %v, want ErrVersion", err)
	}
	lost := must[*apikey.Issued](t)(w.ring().Rotate(t.Context(), id, apikey.RotateParams{Grace: time.Hour}))
	if _, err := w.ring().Rotate(t.Context(), id, apikey.RotateParams{Replace: 1}); !errors.Is(err, apikey.ErrVersion) {
		t.Errorf("replacing one that is not the newest: %v, want ErrVersion", err)
	}
	found := must[*apikey.Issued](t)(w.ring().Rotate(t.Context(), id, apikey.RotateParams{Replace: 2}))
	if s := found.Key.Secrets; len(s) != 2 || s[0].N != 3 || s[1].N != 1 || !s[1].NotAfter.Equal(lost.Key.Secrets[1].NotAfter) {
		t.Errorf("secrets %+v", s)
	}
	for _, tc := range []struct {
		issued *apikey.Issued
		good   bool
	}{{first, true}, {lost, false}, {found, true}} {
		if _, _, err := w.Verify(t.Context(), apikey.Request{Token: tc.issued.Token.Reveal()}); (err == nil) != tc.good {
			t.Errorf("token of secret %d: %v", tc.issued.Key.Secrets[0].N, err)
		}
	}
}

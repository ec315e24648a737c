package apikey_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-apikey/apikey"
)

// imported is a token from elsewhere, with its ID and digest.
type imported struct {
	token, id, digest string
}

func newImported(t *testing.T, prefix string) imported {
	t.Helper()
	token := outsideToken(t, prefix)
	sum := sha256.Sum256([]byte(token))
	idLen := map[bool]int{true: 7, false: 12}[prefix == "rk_live_"]
	return imported{token: token, id: token[len(prefix) : len(prefix)+idLen], digest: hex.EncodeToString(sum[:])}
}

func mustDigest(t *testing.T, hexSHA256 string) apikey.Digest {
	t.Helper()
	d, err := apikey.ParseDigest(hexSHA256)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestImport(t *testing.T) {
	t.Parallel()
	for _, prefix := range []string{"rg_live_", "rk_live_", "rg_test_"} {
		for _, by := range []string{"token", "digest", "upper-case digest"} {
			t.Run(prefix+" by "+by, func(t *testing.T) {
				t.Parallel()
				r := newRig(t, nil)
				in := newImported(t, prefix)
				made := rigStart.AddDate(-2, 0, 0)
				p := apikey.ImportParams{
					KeyParams: apikey.KeyParams{
						Name: "old", Description: "from before", Permissions: apikey.Permissions{"calls:read"},
						ExpiresAt: rigStart.Add(time.Hour), Metadata: map[string]string{"row": "17"},
					},
					CreatedAt: made.In(time.FixedZone("", 3600)),
				}
				switch by {
				case "token":
					p.Token = in.token
				case "digest":
					p.Prefix, p.ID, p.Digest = prefix, in.id, mustDigest(t, in.digest)
				default:
					p.Prefix, p.ID, p.Digest = prefix, in.id, mustDigest(t, strings.ToUpper(in.digest))
				}
				key, err := r.as(operator).Import(t.Context(), p)
				if err != nil {
					t.Fatal(err)
				}
				want := &apikey.Key{
					ID: in.id, Owner: rigOwner, Name: "old", Description: "from before",
					Environment: map[bool]string{true: "test", false: "live"}[prefix == "rg_test_"],
					Permissions: p.Permissions, ExpiresAt: p.ExpiresAt, Metadata: p.Metadata, CreatedAt: made, CreatedBy: "ops",
					Secrets: []apikey.Secret{{N: 1, Prefix: prefix, CreatedAt: made}}, Version: 1,
				}
				if d := rigDiff(want, key); d != "" {
					t.Errorf("returned (-want +got):\n%s", d)
				}
				if d := rigDiff(want, r.get(in.id)); d != "" {
					t.Errorf("stored (-want +got):\n%s", d)
				}
				if got := r.verdict(in.token); got != "ok" {
					t.Errorf("its token: %s", got)
				}
				if got := r.verdict(outsideToken(t, prefix)); got != "invalid" {
					t.Errorf("another token: %s", got)
				}
				before := r.snapshot()
				_, err = r.as(operator).Import(t.Context(), p)
				wantError(t, "importing it again", err, apikey.ErrExists)
				r.unchanged(before, "importing it again")
			})
		}
	}
}

// An imported key is in the state in which it was elsewhere.
func TestImportKeepsState(t *testing.T) {
	t.Parallel()
	for what, tt := range map[string]struct {
		params apikey.ImportParams
		want   string
	}{
		"expired":           {apikey.ImportParams{KeyParams: apikey.KeyParams{ExpiresAt: rigStart.AddDate(-1, 0, 0)}}, "expired"},
		"revoked":           {apikey.ImportParams{RevokedAt: rigStart.AddDate(-1, 0, 0)}, "revoked"},
		"revoked just now":  {apikey.ImportParams{RevokedAt: rigStart}, "revoked"},
		"scheduled":         {apikey.ImportParams{KeyParams: apikey.KeyParams{NotBefore: rigStart.Add(time.Hour)}}, "not_yet_valid"},
		"of a known format": {apikey.ImportParams{KeyParams: apikey.KeyParams{Prefix: "rg_live_", Environment: "live"}}, "ok"},
	} {
		r := newRig(t, nil)
		token := outsideToken(t, "rg_live_")
		tt.params.Name, tt.params.Token = "old", token
		if _, err := r.as(operator).Import(t.Context(), tt.params); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if got := r.verdict(token); got != tt.want {
			t.Errorf("%s: %s, want %s", what, got, tt.want)
		}
	}
}

func TestImportRefuses(t *testing.T) {
	t.Parallel()
	in, test := newImported(t, "rg_live_"), newImported(t, "rg_test_")
	digest := mustDigest(t, in.digest)
	last := in.token[len(in.token)-1]
	wrongSum := in.token[:len(in.token)-1] + map[bool]string{true: "1", false: "0"}[last == '0']
	future := rigStart.Add(time.Microsecond)
	tests := []struct {
		name   string
		params apikey.ImportParams
		fields []string
	}{
		{"neither token nor digest", apikey.ImportParams{}, []string{"Prefix"}},
		{"a wrong checksum", apikey.ImportParams{Token: wrongSum}, []string{"Token"}},
		{"the checksum of another prefix", apikey.ImportParams{Token: "rg_test_" + strings.TrimPrefix(in.token, "rg_live_")}, []string{"Token"}},
		{"a token cut short", apikey.ImportParams{Token: in.token[:len(in.token)-1]}, []string{"Token"}},
		{"a token of no format", apikey.ImportParams{Token: "xx_" + in.token}, []string{"Token"}},
		{"a token with a space", apikey.ImportParams{Token: in.token + " "}, []string{"Token"}},
		{"a token and a digest", apikey.ImportParams{Token: in.token, Digest: digest}, []string{"Token"}},
		{"a token and an ID", apikey.ImportParams{Token: in.token, ID: in.id}, []string{"Token"}},
		{"a token of another prefix than said", apikey.ImportParams{Token: in.token, KeyParams: apikey.KeyParams{Prefix: "rg_test_"}}, []string{"Token"}},
		{"a token of another environment than said", apikey.ImportParams{Token: in.token, KeyParams: apikey.KeyParams{Environment: "test"}}, []string{"Environment"}},
		{"a digest of another environment than said", apikey.ImportParams{
			ID: test.id, Digest: mustDigest(t, test.digest), KeyParams: apikey.KeyParams{Prefix: "rg_test_", Environment: "live"},
		}, []string{"Environment"}},
		{"a digest without an ID", apikey.ImportParams{Digest: digest, KeyParams: apikey.KeyParams{Prefix: "rg_live_"}}, []string{"ID"}},
		{"an ID without a digest", apikey.ImportParams{ID: in.id, KeyParams: apikey.KeyParams{Prefix: "rg_live_"}}, []string{"Digest"}},
		{"a digest without a prefix", apikey.ImportParams{ID: in.id, Digest: digest}, []string{"Prefix"}},
		{"an unknown prefix", apikey.ImportParams{ID: in.id, Digest: digest, KeyParams: apikey.KeyParams{Prefix: "xx_"}}, []string{"Prefix"}},
		{"an ID of another length", apikey.ImportParams{ID: in.id[1:], Digest: digest, KeyParams: apikey.KeyParams{Prefix: "rg_live_"}}, []string{"ID"}},
		{"an ID that is not base62", apikey.ImportParams{ID: in.id[1:] + "-", Digest: digest, KeyParams: apikey.KeyParams{Prefix: "rg_live_"}}, []string{"ID"}},
		{"made in the future", apikey.ImportParams{Token: in.token, CreatedAt: future}, []string{"CreatedAt"}},
		{"revoked in the future", apikey.ImportParams{Token: in.token, RevokedAt: future}, []string{"RevokedAt"}},
		{"used in the future", apikey.ImportParams{Token: in.token, LastUsedAt: future}, []string{"LastUsedAt"}},
		{"made before 1970", apikey.ImportParams{Token: in.token, CreatedAt: time.Unix(0, -1)}, []string{"CreatedAt"}},
		{"revoked in 1970's first microsecond", apikey.ImportParams{Token: in.token, RevokedAt: time.Unix(0, 999)}, []string{"RevokedAt"}},
		{"used before 1970", apikey.ImportParams{Token: in.token, LastUsedAt: time.Unix(-1, 0)}, []string{"LastUsedAt"}},
		{"expired before 1970", apikey.ImportParams{Token: in.token, KeyParams: apikey.KeyParams{ExpiresAt: time.Unix(-1, 0)}}, []string{"ExpiresAt"}},
		{"used less than never", apikey.ImportParams{Token: in.token, Requests: -1}, []string{"Requests"}},
		{"several things at once", apikey.ImportParams{Token: wrongSum, Requests: -1, CreatedAt: future, KeyParams: apikey.KeyParams{Name: "\x00"}}, []string{"Token", "Name", "CreatedAt", "Requests"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			before := r.snapshot()
			if tt.params.Name == "" {
				tt.params.Name = "old"
			}
			key, err := r.as(operator).Import(t.Context(), tt.params)
			wantFields(t, tt.name, err, tt.fields...)
			if err != nil && strings.Contains(err.Error(), in.token[8:]) {
				t.Error("the error shows the token")
			}
			if key != nil || r.store.calls.Load() != 0 {
				t.Errorf("key %v after %d calls of the store", key, r.store.calls.Load())
			}
			r.unchanged(before, tt.name)
		})
	}
	r := newRig(t, nil)
	for _, tt := range paramBounds() {
		if tt.fields == nil || strings.HasPrefix(tt.name, "expiry now") || strings.HasPrefix(tt.name, "expiry past") || strings.HasPrefix(tt.name, "expiry that is now") {
			continue // an expired key may be imported
		}
		p := apikey.ImportParams{Token: in.token, KeyParams: apikey.KeyParams{Name: "old"}}
		tt.set(&p.KeyParams)
		_, err := r.as(operator).Import(t.Context(), p)
		wantFields(t, tt.name, err, tt.fields...)
	}
	if n := r.store.calls.Load(); n != 0 {
		t.Errorf("%d calls reached the store", n)
	}
}

func TestImportCountsPastUse(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	token := outsideToken(t, "rg_live_")
	used := rigStart.AddDate(0, 0, -3)
	key, err := r.as(operator).Import(t.Context(), apikey.ImportParams{
		KeyParams: apikey.KeyParams{Name: "old"}, Token: token, Requests: 12345, LastUsedAt: used,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := apikey.Usage{Requests: 12345, LastUsedAt: used, LastUsed: map[uint32]time.Time{1: used}}
	if d := rigDiff(want, r.listed(key.ID).Usage); d != "" {
		t.Errorf("usage (-want +got):\n%s", d)
	}
	if got := r.verdict(token); got != "ok" {
		t.Fatal(got)
	}
	if err := r.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	want = apikey.Usage{Requests: 12346, LastUsedAt: rigStart, LastUsed: map[uint32]time.Time{1: rigStart}}
	if d := rigDiff(want, r.listed(key.ID).Usage); d != "" {
		t.Errorf("usage after one more request (-want +got):\n%s", d)
	}
	points, err := r.as(operator).Usage(t.Context(), key.ID, apikey.UsageQuery{})
	if err != nil {
		t.Fatal(err)
	}
	if d := rigDiff([]apikey.UsagePoint{{Hour: used.Truncate(time.Hour), Requests: 12345}, {Hour: rigStart.Truncate(time.Hour), Requests: 1}}, points); d != "" {
		t.Errorf("by the hour (-want +got):\n%s", d)
	}
}

// Its token may be used before the call that imports a key is over.
func TestImportPastUseBesidesPresentUse(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	token := outsideToken(t, "rg_live_")
	used := rigStart.Truncate(time.Hour) // in the same hour
	r.store.fail(func(_ context.Context, c storeCall, apply func() error) error {
		if c.op != "create" {
			return apply()
		}
		err := apply()
		r.store.fail(func(_ context.Context, c storeCall, apply func() error) error {
			if c.op == "add-usage" {
				return errDisk // so that it is counted, and not yet stored
			}
			return apply()
		})
		for i := range 2 { // the first request is in a batch that failed, the second waits for the next
			r.advance(time.Duration(i) * time.Second)
			if got := r.verdict(token); got != "ok" {
				t.Errorf("its token: %s", got)
			}
			wantError(t, "Flush", r.Flush(t.Context()), errDisk)
		}
		return err
	})
	key, err := r.as(operator).Import(t.Context(), apikey.ImportParams{KeyParams: apikey.KeyParams{Name: "old"}, Token: token, Requests: 5, LastUsedAt: used})
	if err != nil {
		t.Fatal(err)
	}
	r.store.fail(nil)
	if err := r.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := apikey.Usage{Requests: 7, LastUsedAt: r.now(), LastUsed: map[uint32]time.Time{1: r.now()}}
	if d := rigDiff(want, r.listed(key.ID).Usage); d != "" {
		t.Errorf("usage (-want +got):\n%s", d)
	}
}

// A key that was switched off where it comes from is never on here.
func TestImportSwitchedOff(t *testing.T) {
	t.Parallel()
	m := newManager(t, &apikey.Config{Schemes: []apikey.Scheme{opaqueScheme}})
	past := time.Now().Add(-time.Hour)
	for name, tt := range map[string]struct {
		p      apikey.ImportParams
		reason apikey.Reason
	}{
		"disabled": {apikey.ImportParams{DisabledAt: past}, apikey.ReasonDisabled},
		"held":     {apikey.ImportParams{HeldAt: past}, apikey.ReasonHeld},
		"revoked":  {apikey.ImportParams{RevokedAt: past}, apikey.ReasonRevoked},
	} {
		tt.p.Token = ("fm_" + name + strings.Repeat("x", 35))[:35]
		importKey(t, m, tt.p)
		if _, _, err := m.Verify(t.Context(), apikey.Request{Token: tt.p.Token}); reasonOf(err) != tt.reason {
			t.Errorf("%s: %v", name, err)
		}
	}
	future := apikey.ImportParams{Token: "fm_" + strings.Repeat("y", 32), HeldAt: time.Now().Add(time.Hour)}
	future.Name = "to come"
	if _, err := m.Keyring("acct_42", apikey.Operator("test")).Import(t.Context(), future); !errors.Is(err, apikey.ErrInvalid) {
		t.Errorf("held in the future: %v", err)
	}
}

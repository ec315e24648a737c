package wiretest

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-apikey/apikey"
)

// verb is a method of a Keyring on K.
type verb func(*apikey.Keyring, context.Context, string) (*apikey.Key, error)

func (v verb) given(t *testing.T, w *world) {
	t.Helper()
	if _, err := v(w.keyring(), t.Context(), w.issued.Key.ID); err != nil {
		t.Fatal(err)
	}
}

// keyRows are about what K has become.
var keyRows = []row{
	{"revoked, expired, disabled, held, not yet valid, rotated-out K", slices.Concat(
		deadKey("revoked", apikey.ReasonRevoked, verb((*apikey.Keyring).Revoke).given),
		deadKey("expired", apikey.ReasonExpired, func(t *testing.T, w *world) {
			t.Helper()
			w.update(t, apikey.KeyUpdate{ExpiresAt: new(w.clock.now().Add(time.Hour))})
			w.clock.advance(2 * time.Hour)
		}),
		deadKey("disabled", apikey.ReasonDisabled, verb((*apikey.Keyring).Disable).given),
		deadKey("held", apikey.ReasonHeld, verb((*apikey.Keyring).Hold).given),
		deadKey("not yet valid", apikey.ReasonNotYetValid, func(t *testing.T, w *world) {
			t.Helper()
			w.update(t, apikey.KeyUpdate{NotBefore: new(w.clock.now().Add(time.Hour))})
		}),
		deadKey("rotated out", apikey.ReasonRotated, rotate(0)),
	)},
	{"K from an address outside its Networks; rotating X-Forwarded-For without a trusted proxy", slices.Concat(
		from("inside", pass, "127.0.0.0/8", "::1/128"),
		from("outside", dead(apikey.ReasonInvalid), "192.0.2.0/24"),
		from("outside, revoked", dead(apikey.ReasonInvalid), "192.0.2.0/24"),
		from("outside, whatever it says", dead(apikey.ReasonInvalid), "192.0.2.0/24", "X-Forwarded-For: 192.0.2.7", "Forwarded: for=192.0.2.7"),
		from("outside, and a wrong secret", unknown, "192.0.2.0/24"),
	)},
	{"expiry equal to now, 1 µs later", []input{
		{name: "equal to now", want: dead(apikey.ReasonExpired), given: expireIn(time.Hour, time.Hour)},
		{name: "1 µs later", want: pass, given: expireIn(time.Hour+time.Microsecond, time.Hour)},
	}},
	{"old secret within grace, at the deadline", []input{
		{name: "within", want: pass, given: func(t *testing.T, w *world) {
			t.Helper()
			rotate(time.Hour)(t, w)
			w.clock.advance(time.Hour - time.Microsecond)
		}},
		{name: "at the deadline", want: dead(apikey.ReasonRotated), given: func(t *testing.T, w *world) {
			t.Helper()
			rotate(time.Hour)(t, w)
			w.clock.advance(time.Hour)
		}},
	}},
}

// deadKey is a key that has come to an end: who proves its secret is told how,
// anybody else hears what is said of an unknown key.
func deadKey(name string, reason apikey.Reason, given func(*testing.T, *world)) []input {
	inputs := token(name, func(w *world) string { return w.k }, dead(reason))
	inputs = append(inputs, token(name+" and a wrong secret", func(w *world) string {
		return sum("rd_sk_" + body(w.k)[:12] + body(w.l)[12:])
	}, unknown)...)
	for i := range inputs {
		inputs[i].given = given
	}
	return inputs
}

// from is K where its networks are these; whoever asks is on the loopback. What
// has a colon and a space is a header.
func from(name string, want outcome, networks ...string) []input {
	var headers []field
	var allowed []netip.Prefix
	for _, n := range networks {
		if header, value, ok := strings.Cut(n, ": "); ok {
			headers = append(headers, field{header, value})
			continue
		}
		allowed = append(allowed, netip.MustParsePrefix(n))
	}
	in := fields(name, func(w *world) []field {
		k := w.k
		if want == unknown {
			k = sum("rd_sk_" + body(w.k)[:12] + body(w.l)[12:])
		}
		return append(slices.Clone(headers), apiKey(k))
	}, want)
	in.given = func(t *testing.T, w *world) {
		t.Helper()
		w.update(t, apikey.KeyUpdate{Networks: &allowed})
		if strings.HasSuffix(name, "revoked") {
			verb((*apikey.Keyring).Revoke).given(t, w)
		}
	}
	return []input{in}
}

// rotate gives K a newer secret.
func rotate(grace time.Duration) func(*testing.T, *world) {
	return func(t *testing.T, w *world) {
		t.Helper()
		if _, err := w.keyring().Rotate(t.Context(), w.issued.Key.ID, apikey.RotateParams{Grace: grace}); err != nil {
			t.Fatal(err)
		}
	}
}

// expireIn has K expire in a while, and lets some time go by.
func expireIn(expiry, passed time.Duration) func(*testing.T, *world) {
	return func(t *testing.T, w *world) {
		t.Helper()
		w.update(t, apikey.KeyUpdate{ExpiresAt: new(w.clock.now().Add(expiry))})
		w.clock.advance(passed)
	}
}

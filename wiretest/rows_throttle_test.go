package wiretest

import (
	"context"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/go-apikey/apikey"
)

// throttleRows are about who sends bad tokens, three of which are let by at
// once and one more every twenty seconds, and about whom a request is from.
var throttleRows = []row{
	{"over the limit of bad tokens", overLimit(slices.Concat(
		token("unknown key", unknownKey, throttled("20")),
		token("a secret that is not its own", wrongSecret, throttled("20")),
		onRoute(apikey.Policy{Optional: true}, token("on an Optional route", unknownKey, throttled("20"))),
		token("good token", func(w *world) string { return w.k }, pass),
		token("wrong checksum", wrongChecksum, invalid),
		token("malformed", func(*world) string { return "nonsense" }, invalid),
		[]input{
			fields("no header", func(*world) []field { return nil }, missing),
			auth("empty", func(string) string { return "" }, empty),
			auth("Basic", func(string) string { return "Basic dTpw" }, otherScheme),
			auth("badly formed", func(k string) string { return "Bearer " + k + " x" }, malformed),
			fields("two credentials", func(w *world) []field { return []field{bearer(unknownKey(w)), apiKey(w.k)} }, malformed),
		},
	)...)},
	{"over the limit of bad tokens, a secret that is proven and refused", slices.Concat(
		provenAndRefused("revoked", dead(apikey.ReasonRevoked), verb((*apikey.Keyring).Revoke).given),
		provenAndRefused("disabled", dead(apikey.ReasonDisabled), verb((*apikey.Keyring).Disable).given),
		provenAndRefused("held", dead(apikey.ReasonHeld), verb((*apikey.Keyring).Hold).given),
		provenAndRefused("expired", dead(apikey.ReasonExpired), expireIn(time.Hour, time.Hour)),
		provenAndRefused("rotated out", dead(apikey.ReasonRotated), rotate(0)),
		provenAndRefused("outside its Networks", dead(apikey.ReasonInvalid), admitOnly("192.0.2.0/24")),
	)},
	{"what counts as a bad token, and what does not", slices.Concat(
		uncounted("good token", pass, sendK),
		uncounted("no header", missing, func(*world) request { return request{} }),
		uncounted("badly formed", malformed, func(w *world) request { return request{fields: []field{authorization("Bearer " + w.k + " x")}} }),
		uncounted("malformed", invalid, func(*world) request { return request{fields: []field{apiKey("nonsense")}} }),
		uncounted("wrong checksum", invalid, func(w *world) request { return request{fields: []field{apiKey(wrongChecksum(w))}} }),
		uncountedWhere("revoked", dead(apikey.ReasonRevoked), sendK, verb((*apikey.Keyring).Revoke).given),
		uncountedWhere("expired", dead(apikey.ReasonExpired), sendK, expireIn(time.Hour, time.Hour)),
		uncountedWhere("outside its Networks", dead(apikey.ReasonInvalid), sendK, admitOnly("192.0.2.0/24")),
		uncountedWhere("Store fails", unavailable, sendK, func(_ *testing.T, w *world) {
			w.store.get = func(ctx context.Context, id string) (*apikey.Record, error) {
				if id == w.issued.Key.ID {
					return nil, errBroken
				}
				return w.store.inner.Get(ctx, id)
			}
		}),
		[]input{{name: "nothing, where no limit is set", run: func(_ *testing.T, w *world, _ protocol, do func(request, *outcome)) {
			sendBad(w, do, 20, nil)
		}}},
	)},
	{"over the limit of bad tokens, one event and one answer in twenty seconds", []input{{
		name: "as time goes by", set: failedAttempts(),
		run: func(_ *testing.T, w *world, _ protocol, do func(request, *outcome)) {
			again := func(retryAfter string, told bool) {
				want := throttled(retryAfter)
				want.untold = !told
				do(request{fields: []field{apiKey(wrongSecret(w))}}, &want)
			}
			sendBad(w, do, 3, nil)
			again("20", true)
			again("20", false)
			w.clock.advance(12500 * time.Millisecond)
			again("8", false) // 7.5 s, rounded up
			w.clock.advance(7500 * time.Millisecond)
			sendBad(w, do, 1, nil)
			again("20", false)
			w.clock.advance(time.Minute + time.Microsecond) // it has rested
			sendBad(w, do, 3, nil)
			again("20", true)
		},
	}}},
	{"rotating X-Forwarded-For without a trusted proxy: one peer", []input{
		{name: "X-Forwarded-For", set: failedAttempts(), run: rotating("X-Forwarded-For", "198.51.100.%")},
		{name: "Forwarded", set: failedAttempts(), run: rotating("Forwarded", "for=198.51.100.%")},
		{name: "a trusted proxy, which this is not", set: failedAttempts("192.0.2.0/24"), run: rotating("X-Forwarded-For", "198.51.100.%")},
		{name: "trusted, but it cannot be read", set: failedAttempts("127.0.0.0/8"), run: rotating("X-Forwarded-For", "198.51.100.%, unknown")},
		{name: "trusted, both headers, which differ", set: failedAttempts("127.0.0.0/8"), run: rotating("X-Forwarded-For", "198.51.100.%", field{"Forwarded", "for=192.0.2.1"})},
	}},
	{"X-Forwarded-For of a trusted proxy: each address for itself", []input{
		{name: "X-Forwarded-For", set: failedAttempts("127.0.0.0/8"), run: eachForItself(
			[]field{{"X-Forwarded-For", "192.0.2.9, 198.51.100.1"}}, "198.51.100.1",
			[]field{{"X-Forwarded-For", "192.0.2.9, 198.51.100.2"}}, "198.51.100.2")},
		{name: "Forwarded", set: failedAttempts("127.0.0.0/8"), run: eachForItself(
			[]field{{"Forwarded", "for=192.0.2.9"}, {"Forwarded", "for=198.51.100.1"}}, "198.51.100.1",
			[]field{{"Forwarded", `for="[2001:db8::1]:4711"`}}, "2001:db8::1")},
		{name: "IPv6 by its /64", set: failedAttempts("127.0.0.0/8"), run: eachForItself(
			[]field{{"X-Forwarded-For", "2001:db8::1"}}, "2001:db8::1",
			[]field{{"X-Forwarded-For", "2001:db8:0:1::1"}}, "2001:db8:0:1::1")},
		{name: "IPv6 of one /64", set: failedAttempts("127.0.0.0/8"), run: func(_ *testing.T, w *world, _ protocol, do func(request, *outcome)) {
			for _, peer := range []string{"2001:db8::1", "2001:db8::2", "2001:db8::ffff:0:0:3"} {
				sendBad(w, do, 1, []field{{"X-Forwarded-For", peer}}, peer)
			}
			want := at(throttled("20"), "2001:db8::4")
			do(request{fields: []field{{"X-Forwarded-For", "2001:db8::4"}, apiKey(unknownKey(w))}}, &want)
		}},
	}},
	{"K from an address outside its Networks, behind a trusted proxy", []input{
		behindProxy("inside", at(pass, "192.0.2.7"), "192.0.2.7"),
		behindProxy("inside, mapped", at(pass, "192.0.2.7"), "::ffff:192.0.2.7"),
		behindProxy("outside", at(dead(apikey.ReasonInvalid), "198.51.100.7"), "198.51.100.7"),
		behindProxy("outside, whatever it says", at(dead(apikey.ReasonInvalid), "198.51.100.7"), "192.0.2.7, 198.51.100.7"),
		behindProxy("cannot be read", dead(apikey.ReasonInvalid), "192.0.2.7, unknown"),
	}},
	{"K from an address outside its Networks: byte for byte that of an unknown key", []input{
		{name: "active", given: admitOnly("192.0.2.0/24"), run: sameAsUnknown},
		{name: "revoked", given: func(t *testing.T, w *world) {
			t.Helper()
			admitOnly("192.0.2.0/24")(t, w)
			verb((*apikey.Keyring).Revoke).given(t, w)
		}, run: sameAsUnknown},
	}},
}

func unknownKey(*world) string      { return sum("rd_sk_" + strings.Repeat("0", 12+27)) }
func wrongSecret(w *world) string   { return sum("rd_sk_" + body(w.k)[:12] + body(w.l)[12:]) }
func wrongChecksum(w *world) string { return "rd_sk_" + body(w.k) + "000000" }

// throttled is 429 of a bad token: no challenge, as no other credential helps,
// and no limit of a key.
func throttled(retryAfter string) outcome {
	return outcome{status: 429, code: "throttled", retryAfter: retryAfter, calls: 1}
}

// at is o where the request counts as from peer.
func at(o outcome, peer string) outcome {
	o.peer = peer
	return o
}

// failedAttempts limits bad tokens, behind these proxies.
func failedAttempts(proxies ...string) func(*settings) {
	return func(s *settings) {
		s.config.FailedAttempts = apikey.Limit{Name: "failed", N: 3, Per: time.Minute}
		for _, p := range proxies {
			s.config.HTTP.TrustedProxies = append(s.config.HTTP.TrustedProxies, netip.MustParsePrefix(p))
		}
	}
}

// sendBad sends so many bad tokens, by turns of an unknown key and of K with a
// secret that is not its own. None is to be one too many.
func sendBad(w *world, do func(request, *outcome), n int, from []field, peer ...string) {
	want := at(unknown, strings.Join(peer, ""))
	for i := range n {
		bad := unknownKey(w)
		if i%2 == 1 {
			bad = wrongSecret(w)
		}
		do(request{fields: append(slices.Clone(from), apiKey(bad))}, &want)
	}
}

// overLimit has the peer send as many bad tokens as are let by before each of
// inputs.
func overLimit(inputs ...input) []input {
	for i := range inputs {
		set := inputs[i].set
		inputs[i].set = func(s *settings) {
			failedAttempts()(s)
			if set != nil {
				set(s)
			}
		}
		inputs[i].first = func(_ *testing.T, w *world, do func(request, *outcome)) { sendBad(w, do, 3, nil) }
	}
	return inputs
}

func provenAndRefused(name string, want outcome, given func(*testing.T, *world)) []input {
	inputs := overLimit(token(name, func(w *world) string { return w.k }, want)...)
	for i := range inputs {
		inputs[i].given = given
	}
	return inputs
}

// uncounted is a request that may be sent ten times and leaves as many bad
// tokens to be let by as before.
func uncounted(name string, want outcome, send func(*world) request) []input {
	return uncountedWhere(name, want, send, nil)
}

func uncountedWhere(name string, want outcome, send func(*world) request, given func(*testing.T, *world)) []input {
	return []input{{name: name, set: failedAttempts(), given: given, run: func(_ *testing.T, w *world, _ protocol, do func(request, *outcome)) {
		for range 10 {
			do(send(w), &want)
		}
		bad := request{fields: []field{apiKey(unknownKey(w))}}
		for range 3 {
			do(bad, &unknown)
		}
		tooMany := throttled("20")
		do(bad, &tooMany)
	}}}
}

// rotating sends bad tokens with a header that names another address each
// time, as % says: the connection alone counts.
func rotating(header, value string, others ...field) func(*testing.T, *world, protocol, func(request, *outcome)) {
	return func(_ *testing.T, w *world, _ protocol, do func(request, *outcome)) {
		from := func(n string) []field {
			return append([]field{{header, strings.ReplaceAll(value, "%", n)}}, others...)
		}
		for _, n := range []string{"1", "2", "3"} {
			sendBad(w, do, 1, from(n))
		}
		for i, n := range []string{"4", "5"} {
			want := throttled("20")
			want.untold = i > 0
			do(request{fields: append(from(n), apiKey(unknownKey(w)))}, &want)
		}
		do(request{fields: append(from("6"), apiKey(w.k))}, &pass)
	}
}

// eachForItself has one address send too many, and another that may send as
// many as anybody.
func eachForItself(one []field, onePeer string, two []field, twoPeer string) func(*testing.T, *world, protocol, func(request, *outcome)) {
	return func(_ *testing.T, w *world, _ protocol, do func(request, *outcome)) {
		for _, from := range []struct {
			fields []field
			peer   string
		}{{one, onePeer}, {two, twoPeer}} {
			sendBad(w, do, 3, from.fields, from.peer)
			want := at(throttled("20"), from.peer)
			do(request{fields: append(slices.Clone(from.fields), apiKey(unknownKey(w)))}, &want)
			do(request{fields: append(slices.Clone(from.fields), apiKey(w.k))}, &pass)
		}
		want := at(throttled("20"), onePeer)
		want.untold = true
		do(request{fields: append(slices.Clone(one), apiKey(unknownKey(w)))}, &want)
	}
}

func admitOnly(network string) func(*testing.T, *world) {
	return func(t *testing.T, w *world) {
		t.Helper()
		w.update(t, apikey.KeyUpdate{Networks: &[]netip.Prefix{netip.MustParsePrefix(network)}})
	}
}

// behindProxy is K, which 192.0.2.0/24 alone may use, through a proxy that
// appended to this X-Forwarded-For.
func behindProxy(name string, want outcome, forwarded string) input {
	in := fields(name, func(w *world) []field { return []field{apiKey(w.k), {"X-Forwarded-For", forwarded}} }, want)
	in.set, in.given = failedAttempts("127.0.0.0/8"), admitOnly("192.0.2.0/24")
	return in
}

var date = regexp.MustCompile(`(?mi)^date: .*$`)

// sameAsUnknown compares the whole answers, but for the time of day.
func sameAsUnknown(t *testing.T, w *world, p protocol, _ func(request, *outcome)) {
	t.Helper()
	text := func(token string) string {
		return date.ReplaceAllString(p.do(t, w.addr, request{fields: []field{bearer(token)}}).text, "")
	}
	want := text(unknownKey(w))
	if !strings.Contains(want, "401") || !strings.Contains(want, "invalid_token") {
		t.Fatalf("the answer to an unknown key is %s", want)
	}
	if diff := cmp.Diff(want, text(w.k)); diff != "" {
		t.Errorf("the answers differ (-unknown key +off network):\n%s", diff)
	}
}

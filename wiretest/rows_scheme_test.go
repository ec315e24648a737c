package wiretest

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"github.com/go-apikey/apikey"
)

// schemeRows are about tokens of other systems, in a service that takes them:
// two of them have bytes that no token68 has.
var schemeRows = []row{
	{"a token of a Scheme", withSchemes(slices.Concat(
		token("id|secret", func(*world) string { return "42|" + foreignSecret }, pass),
		token("another spelling of the id", func(*world) string { return "042|" + foreignSecret }, malformed),
		token("unknown id", func(*world) string { return "43|" + foreignSecret }, unknown),
		token("a secret that is not its own", func(*world) string { return "42|" + foreignSecret[1:] + "x" }, unknown),
		token("too short", func(*world) string { return "42|" + foreignSecret[1:] }, malformed),
		token("two separators", func(*world) string { return "42||" + foreignSecret[1:] }, malformed),
		token("bytes that no Scheme has", func(*world) string { return "42|" + foreignSecret[1:] + ";" }, malformed),
		token("in quotes", func(*world) string { return `"42|` + foreignSecret + `"` }, malformed),
		token("percent-encoded", func(*world) string { return "42%7C" + foreignSecret }, malformed),
		[]input{
			fields("twice", func(*world) []field { return []field{bearer("42|" + foreignSecret), apiKey("42|" + foreignSecret)} }, malformed),
			fields("a list", func(*world) []field { return []field{apiKey("42|" + foreignSecret + ",42|" + foreignSecret)} }, malformed),
		},
	))},
	{"a token of a Scheme on a SkipForeign route", withSchemes(slices.Concat(
		onRoute(apikey.Policy{SkipForeign: true, Optional: true}, []input{
			fields("id|secret", func(*world) []field { return []field{bearer("42|" + foreignSecret)} }, pass),
			fields("a bad one", func(*world) []field { return []field{bearer("42|" + foreignSecret[1:] + "x")} }, unknown),
			fields("a JWT", func(*world) []field { return []field{bearer("eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.c2ln")} }, passNobody),
		}),
	))},
	{"over the limit of bad tokens, one of a slow Scheme", overLimit(withSchemes(slices.Concat(
		token("good, refused unseen", func(*world) string { return "k7.correct-horse-battery" }, unseen),
		token("bad, refused unseen", func(*world) string { return "k7.correct-horse-batterx" }, unseen),
		token("unknown, refused unseen", func(*world) string { return "k8.correct-horse-battery" }, unseen),
		token("good, of a fast Scheme", func(*world) string { return "42|" + foreignSecret }, pass),
		token("bad, of a fast Scheme", func(*world) string { return "43|" + foreignSecret }, throttled("20")),
	))...)},
}

const foreignSecret = "0123456789abcdefghijABCDEFGHIJ0123456789"

// unseen is 429 without a look at the token.
var unseen = func() outcome {
	o := throttled("20")
	o.calls = 0
	return o
}()

// withSchemes has keys of two other systems in the service. The first of them
// is K.
func withSchemes(inputs []input) []input {
	for i := range inputs {
		set := inputs[i].set
		inputs[i].set = func(s *settings) {
			s.config.Schemes = []apikey.Scheme{
				{Name: "sanctum", Separator: '|', Number: true, MinLen: 43, MaxLen: 60, Environment: "live"},
				{Name: "weak", Separator: '.', MinLen: 20, MaxLen: 30, Slow: true, Environment: "live"},
			}
			if set != nil {
				set(s)
			}
		}
		inputs[i].given = func(t *testing.T, w *world) {
			t.Helper()
			sum := sha256.Sum256([]byte("42|" + foreignSecret))
			w.issued = &apikey.Issued{Key: w.foreign(t, "sanctum", "42", hex.EncodeToString(sum[:]))}
			w.foreign(t, "weak", "k7", "$2b$04$"+strings.Repeat("a", 53))
		}
	}
	return inputs
}

// foreign imports a key by what another system stored of it.
func (w *world) foreign(t *testing.T, scheme, locator, stored string) *apikey.Key {
	t.Helper()
	d, err := apikey.ParseDigest(stored)
	if err != nil {
		t.Fatal(err)
	}
	k, err := w.keyring().Import(t.Context(), apikey.ImportParams{
		KeyParams: apikey.KeyParams{Name: "of another system"}, Scheme: scheme, Locator: locator, Digest: d,
	})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

package apikey

import (
	"net/http"
	"strings"
	"testing"
)

func rules(t testing.TB, c HTTPConfig) *httpRules {
	t.Helper()
	var h httpRules
	var f faults
	h.configure(&c, &f)
	if f != nil {
		t.Fatal(f)
	}
	return &h
}

// TestCredential is the reading of headers alone; the rows over the wire are
// in the module wiretest.
func TestCredential(t *testing.T) {
	formats := published[:1]
	tok, _ := formats[0].issue("")
	k := tok.Reveal()
	long := k[:6] + strings.Repeat("a", 600)
	for _, tc := range []struct {
		name    string
		auth    []string
		key     []string
		foreign bool // Policy.SkipForeign
		reason  Reason
		token   string
	}{
		{name: "nothing", reason: ReasonMissing},
		{name: "empty", auth: []string{""}, reason: ReasonEmpty},
		{name: "spaces", auth: []string{" \t "}, reason: ReasonEmpty},
		{name: "empty key", key: []string{" "}, reason: ReasonEmpty},
		{name: "bearer", auth: []string{"Bearer " + k}, token: k},
		{name: "any case", auth: []string{"bEaReR " + k}, token: k},
		{name: "spaces around", auth: []string{" \tBearer   " + k + "\t "}, token: k},
		{name: "no space", auth: []string{"Bearer" + k}, reason: ReasonUnsupportedScheme},
		{name: "tab between", auth: []string{"Bearer\t" + k}, reason: ReasonMalformedRequest},
		{name: "scheme alone", auth: []string{"Bearer"}, reason: ReasonMalformedRequest},
		{name: "Kelvin sign", auth: []string{"Bea\u212aer " + k}, reason: ReasonMalformedRequest},
		{name: "basic", auth: []string{"Basic dTpw"}, reason: ReasonUnsupportedScheme},
		{name: "basic and key", auth: []string{"Basic dTpw"}, key: []string{k}, token: k},
		{name: "both", auth: []string{"Bearer " + k}, key: []string{k}, reason: ReasonMalformedRequest},
		{name: "two lines", auth: []string{"Bearer " + k, "Bearer " + k}, reason: ReasonMalformedRequest},
		{name: "two lines, one empty", key: []string{"", k}, reason: ReasonMalformedRequest},
		{name: "bearer and empty key", auth: []string{"Bearer " + k}, key: []string{""}, token: k},
		{name: "broken bearer and good key", auth: []string{"Bearer"}, key: []string{k}, reason: ReasonMalformedRequest},
		{name: "padded", auth: []string{"Bearer " + k + "="}, token: k + "="},
		{name: "padding alone", auth: []string{"Bearer ="}, reason: ReasonMalformedRequest},
		{name: "padding inside", auth: []string{"Bearer a=b"}, reason: ReasonMalformedRequest},
		{name: "512 bytes", key: []string{strings.Repeat("a", 512)}, token: strings.Repeat("a", 512)},
		{name: "513 bytes", key: []string{strings.Repeat("a", 513)}, reason: ReasonMalformedRequest},
		{name: "foreign skipped", auth: []string{"Bearer eyJh.eyJz.sig"}, foreign: true, reason: ReasonMissing},
		{name: "foreign skipped, key good", auth: []string{"Bearer eyJh.eyJz.sig"}, key: []string{k}, foreign: true, token: k},
		{name: "long foreign skipped", auth: []string{"Bearer " + strings.Repeat("a", 5000)}, foreign: true, reason: ReasonMissing},
		{name: "long one of ours", auth: []string{"Bearer " + long}, foreign: true, reason: ReasonMalformedRequest},
		{name: "ours is not skipped", auth: []string{"Bearer " + k[:20]}, foreign: true, token: k[:20]},
		{name: "badly formed foreign", auth: []string{"Bearer a b"}, foreign: true, reason: ReasonMalformedRequest},
		{name: "foreign key header", key: []string{"eyJh.eyJz.sig"}, foreign: true, token: "eyJh.eyJz.sig"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := http.Header{}
			if tc.auth != nil {
				h["Authorization"] = tc.auth
			}
			if tc.key != nil {
				h["X-Api-Key"] = tc.key
			}
			token, _, reason := rules(t, HTTPConfig{}).credential(h, &shapes{formats: formats}, tc.foreign)
			if token != tc.token || reason != tc.reason {
				t.Errorf("%q, %q; want %q, %q", token, reason, tc.token, tc.reason)
			}
		})
	}
}

func TestHTTPConfigRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		c     HTTPConfig
		field string
	}{
		"no sources":     {HTTPConfig{Sources: []Source{}}, "HTTP.Sources"},
		"zero source":    {HTTPConfig{Sources: []Source{{}}}, "HTTP.Sources[0]"},
		"bad name":       {HTTPConfig{Sources: []Source{Header("X Key")}}, "HTTP.Sources[0]"},
		"other alphabet": {HTTPConfig{Sources: []Source{Header("X-Kéy")}}, "HTTP.Sources[0]"},
		"twice":          {HTTPConfig{Sources: []Source{Header("x-api-key"), Header("X-Api-Key")}}, "HTTP.Sources[1]"},
		"realm":          {HTTPConfig{Realm: `a"b`}, "HTTP.Realm"},
		"realm controls": {HTTPConfig{Realm: "a\r\nb"}, "HTTP.Realm"},
	} {
		t.Run(name, func(t *testing.T) {
			var h httpRules
			var f faults
			h.configure(&tc.c, &f)
			if len(f) != 1 || f[0].Field != tc.field {
				t.Errorf("%v, want one fault in %s", f, tc.field)
			}
		})
	}
	if h := rules(t, HTTPConfig{Sources: []Source{Header("X-Api-Key")}, Realm: "x"}); len(h.challenges) != 1 || h.challenges[0] != `ApiKey realm="x"` {
		t.Errorf("challenges %q: a 401 must have one", h.challenges)
	}
}

// FuzzCredential: whatever comes, a token is one run of token68 that stands in
// the header, alone or behind its scheme.
func FuzzCredential(f *testing.F) {
	f.Add("Bearer rd_sk_x", "", false)
	f.Add("", "rd_sk_x", true)
	f.Add("bearer\trd_sk_x", "\u00a0", false)
	f.Add("Basic dTpw", " k ", true)
	h := rules(f, HTTPConfig{})
	f.Fuzz(func(t *testing.T, auth, key string, foreign bool) {
		header := http.Header{}
		header.Set("Authorization", auth)
		header.Set("X-Api-Key", key)
		token, _, reason := h.credential(header, &shapes{formats: published[:1]}, foreign)
		if (token == "") != (reason != "") {
			t.Fatalf("%q and %q", token, reason)
		}
		if token == "" {
			return
		}
		if len(token) > maxTokenBytes || !isToken68(token) {
			t.Errorf("%q is no token68 of at most 512 bytes", token)
		}
		fromKey := strings.Trim(key, " \t") == token
		rest, ok := strings.CutSuffix(strings.Trim(auth, " \t"), token)
		fromAuth := ok && strings.EqualFold(strings.TrimRight(rest, " \t"), "bearer") && strings.ContainsAny(rest, " ")
		if fromKey == fromAuth && !(fromKey && strings.Trim(auth, " \t") != "") {
			t.Errorf("%q is neither all of %q nor behind Bearer in %q", token, key, auth)
		}
	})
}

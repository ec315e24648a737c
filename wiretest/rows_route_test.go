package wiretest

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-apikey/apikey"
)

// jwt is a Bearer token of somebody else's.
const jwt = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJzb21lYm9keSJ9.c2lnbmF0dXJl"

// ourBad begins with a prefix of ours and is no token.
const ourBad = "rd_sk_nonsense"

// routeRows are about what a route asks.
var routeRows = []row{
	{"owner A's key on a route bound to B; to nobody; a test key on a live route; a plan that refuses keys", []input{
		{name: "bound to A", want: pass, set: policy(apikey.Policy{Owner: boundTo(ownerA)})},
		{name: "bound to B", want: forbidden(apikey.ReasonOwner), set: policy(apikey.Policy{Owner: boundTo("acct_B")})},
		{name: "bound to A in other letters", want: forbidden(apikey.ReasonOwner), set: policy(apikey.Policy{Owner: boundTo("ACCT_A")})},
		{name: "bound to nobody", want: forbidden(apikey.ReasonOwner), set: policy(apikey.Policy{Owner: boundTo("")})},
		{name: "live key on a live route", want: pass, set: policy(apikey.Policy{Environment: "live"})},
		{
			name: "test key on a live route", want: forbidden(apikey.ReasonEnvironment), set: policy(apikey.Policy{Environment: "live"}),
			given: func(t *testing.T, w *world) {
				t.Helper()
				w.issued = w.create(t, apikey.KeyParams{Name: "K", Environment: "test"})
				w.k = w.issued.Token.Reveal()
			},
		},
		{name: "a plan that refuses keys", want: forbidden(apikey.ReasonPlan), set: plan(apikey.Plan{Name: "closed", Refusal: "The account is closed."})},
	}},
	{"permission missing", []input{
		{name: "none missing", want: pass, set: policy(apikey.Policy{All: []apikey.Permission{"calls:read"}})},
		{name: "one of all", want: lacks("calls:create"), set: policy(apikey.Policy{All: []apikey.Permission{"calls:read", "calls:create"}})},
		{name: "each of any", want: lacks("calls:create"), set: policy(apikey.Policy{Any: []apikey.Permission{"calls:create", "calls:delete"}})},
	}},
	{"OPTIONS without a key on a guarded pattern", []input{
		{name: "preflight", want: missing, send: func(*world) request {
			return request{method: http.MethodOptions, fields: []field{
				{"Origin", "https://app.example"},
				{"Access-Control-Request-Method", "POST"},
				{"Access-Control-Request-Headers", "authorization, x-api-key"},
			}}
		}},
	}},
	{"the same K by alternating header styles: one bucket", []input{
		{
			name: "Bearer, X-Api-Key, bEaReR, X-Api-Key, Bearer", set: plan(keyLimit(apikey.PerMinute(4))),
			first: func(_ *testing.T, w *world, do func(request, *outcome)) {
				for i, f := range []field{bearer(w.k), apiKey(w.k), authorization("bEaReR  " + w.k), apiKey("\t" + w.k)} {
					want := limited(pass, `"minute";q=4;w=60`, []string{`"minute";r=3;t=15`, `"minute";r=2;t=30`, `"minute";r=1;t=45`, `"minute";r=0;t=60`}[i])
					do(request{fields: []field{f}}, &want)
				}
			},
			send: func(w *world) request { return request{fields: []field{bearer(w.k)}} },
			want: limited(tooMany("15"), `"minute";q=4;w=60`, `"minute";r=0;t=60`),
		},
	}},
	{"rate limited", []input{
		{
			name: "by the key's limit", set: plan(keyLimit(apikey.Limit{Name: "slow", N: 1, Per: 7 * time.Second})),
			first: spend(`"slow";q=1;w=7`, `"slow";r=0;t=7`, 500*time.Millisecond),
			want:  limited(tooMany("7"), `"slow";q=1;w=7`, `"slow";r=0;t=7`), // 6.5 s, rounded up
		},
		{
			name: "by the owner's limit", set: plan(apikey.Plan{
				Name: "free", MaxKeys: apikey.NoCap,
				OwnerLimits: []apikey.Limit{{Name: "account", N: 1, Per: time.Hour}},
				KeyLimits:   []apikey.Limit{apikey.PerMinute(10), apikey.PerSecond(5)},
			}),
			first: spend(`"account";q=1;w=3600`, `"account";r=0;t=3600`, 0),
			want:  limited(tooMany("3600"), `"account";q=1;w=3600`, `"account";r=0;t=3600`),
		},
		{
			name: "less than a second", set: plan(keyLimit(apikey.PerSecond(1))),
			first: spend(`"second";q=1;w=1`, `"second";r=0;t=1`, 999*time.Millisecond),
			want:  limited(tooMany("1"), `"second";q=1;w=1`, `"second";r=0;t=1`), // 1 ms
		},
		{
			name: "no longer", set: plan(keyLimit(apikey.PerSecond(1))),
			first: spend(`"second";q=1;w=1`, `"second";r=0;t=1`, time.Second),
			want:  limited(pass, `"second";q=1;w=1`, `"second";r=0;t=1`),
		},
	}},
	{"Optional route: no field, empty Authorization, Basic, bad token", optional(
		fields("no field", func(*world) []field { return nil }, passNobody),
		auth("empty Authorization", func(string) string { return "" }, empty),
		auth("Basic", func(string) string { return "Basic dXNlcjpwYXNzd29yZA==" }, otherScheme),
		auth("bad token", func(k string) string { return "Bearer " + k + "x" }, invalid),
		auth("badly formed", func(k string) string { return "Bearer " + k + " x" }, malformed),
		auth("good token", func(k string) string { return "Bearer " + k }, pass),
	)},
	{"SkipForeign route: a JWT, a bad token of ours", skipForeign(
		auth("JWT", func(string) string { return "Bearer " + jwt }, missing),
		auth("JWT over 512 bytes", func(string) string { return "Bearer " + jwt + strings.Repeat("a", 512) }, missing),
		fields("JWT and good X-Api-Key", func(w *world) []field { return []field{bearer(jwt), apiKey(w.k)} }, pass),
		fields("JWT in X-Api-Key", func(*world) []field { return []field{apiKey(jwt)} }, invalid),
		fields("two JWTs", func(*world) []field { return []field{bearer(jwt), bearer(jwt)} }, malformed),
		auth("badly formed", func(string) string { return "Bearer a b" }, malformed),
		auth("bad token of ours", func(string) string { return "Bearer " + ourBad }, invalid),
		auth("bad token of ours over 512 bytes", func(string) string { return "Bearer " + ourBad + strings.Repeat("a", 512) }, malformed),
		fields("bad token of ours and good X-Api-Key", func(w *world) []field { return []field{bearer(ourBad), apiKey(w.k)} }, malformed),
		auth("good token", func(k string) string { return "Bearer " + k }, pass),
	)},
}

func policy(p apikey.Policy) func(*settings) { return func(s *settings) { s.policy = &p } }

// optional has the route let requests without a credential pass.
func optional(inputs ...input) []input { return onRoute(apikey.Policy{Optional: true}, inputs) }

// skipForeign has the route take tokens of others for no credential. Such a
// request passes where the route is Optional too.
func skipForeign(inputs ...input) []input {
	both := auth("JWT on an Optional route", func(string) string { return "Bearer " + jwt }, passNobody)
	return append(onRoute(apikey.Policy{SkipForeign: true}, inputs), onRoute(apikey.Policy{SkipForeign: true, Optional: true}, []input{both})...)
}

func onRoute(p apikey.Policy, inputs []input) []input {
	for i := range inputs {
		inputs[i].set = policy(p)
	}
	return inputs
}

func boundTo(owner string) func(*http.Request) string {
	return func(*http.Request) string { return owner }
}

func plan(p apikey.Plan) func(*settings) {
	return func(s *settings) {
		s.plan = func(context.Context, string) (apikey.Plan, error) { return p, nil }
	}
}

func keyLimit(l apikey.Limit) apikey.Plan {
	return apikey.Plan{Name: "free", MaxKeys: apikey.NoCap, KeyLimits: []apikey.Limit{l}}
}

// tooMany is 429.
func tooMany(retryAfter string) outcome {
	return outcome{status: 429, code: "rate_limited", retryAfter: retryAfter, calls: 1, usage: counts{Limited: 1}}
}

// limited is o with the headers of a limit: one item each, without a partition
// key.
func limited(o outcome, policy, rateLimit string) outcome {
	o.policy, o.rateLimit = policy, rateLimit
	return o
}

// spend sends one request that passes, and lets some time go by.
func spend(policy, rateLimit string, passed time.Duration) func(*testing.T, *world, func(request, *outcome)) {
	return func(_ *testing.T, w *world, do func(request, *outcome)) {
		want := limited(pass, policy, rateLimit)
		do(sendK(w), &want)
		w.clock.advance(passed)
	}
}

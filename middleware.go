package apikey

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// HTTPConfig is how requests carry tokens and how they are answered.
type HTTPConfig struct {
	// Sources are where a request may carry its token. Exactly one of them may
	// hold one. nil: Bearer(), Header("X-Api-Key").
	Sources []Source

	// TrustedProxies are whose X-Forwarded-For and Forwarded are believed: the
	// addresses of the balancers that all requests come through. Requests then
	// count as from whom the proxy saw, in Key.Networks, events and refusals.
	// nil: nobody; who is at the other end of the connection is the peer.
	TrustedProxies []netip.Prefix

	// Realm is told in WWW-Authenticate. "": "api".
	Realm string

	// ErrorHandler answers a request that was refused, with any error of Check.
	// The headers are set by then; it writes status and body. nil: a problem
	// document (RFC 9457).
	ErrorHandler func(http.ResponseWriter, *http.Request, error)
}

// Policy is what a route asks of a request. The zero Policy asks for any valid
// key.
type Policy struct {
	All         []Permission               // each of these is needed
	Any         []Permission               // one of these is needed; nil: none
	Environment string                     // the key must be of it; "": of any
	Owner       func(*http.Request) string // the key must belong to this owner; "" is refused. nil: to anyone. Routers that are not net/http's tell it a part of the path by Request.SetPathValue
	Cost        int                        // tokens that the request takes from each limit; 0: 1
	Optional    bool                       // a request with no credential field at all passes, without a Principal; a bad credential never does
	SkipForeign bool                       // an Authorization of no Format and no Scheme (a JWT, say) counts as no credential, for services that take both
}

// Guard lets requests through that satisfy p, with their Principal in the
// context ([FromContext]), and answers the others. It authenticates,
// authorises and limits in one step. CORS belongs outside of it: a preflight
// carries no key.
//
// Of two guards around one handler the inner one checks its own policy again;
// it takes from limits only what its Cost exceeds the outer one's. That holds
// for one guard further in: a handler that serves many requests of its own with
// the context of one pays for each. A malformed
// permission, one that the Catalog lacks, or a negative Cost panics here, when
// the routes are wired, as [http.ServeMux] does.
func (m *Manager) Guard(p Policy) func(http.Handler) http.Handler {
	p.All, p.Any = slices.Clone(p.All), slices.Clone(p.Any)
	if err := m.checkPolicy(&p); err != nil {
		panic(err)
	}
	set := m.sets.bit(&p)
	return func(next http.Handler) http.Handler {
		if next == nil {
			panic("apikey: Guard of a nil handler")
		}
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			a := &attempt{http: r, rules: &m.http, wired: true, set: set}
			principal, err := m.check(r, &p, a)
			if err != nil {
				m.WriteError(w, r, err)
				return
			}
			g := &grant{Context: r.Context(), m: m, principal: principal}
			g.credit.Store(int64(max(p.Cost, 1, a.paid)))
			m.setHeader(w.Header(), principal, &a.decision, a.policy, &g.values)
			if principal != nil {
				r = r.WithContext(g)
			}
			next.ServeHTTP(w, r)
		})
	}
}

// Require is Guard(Policy{All: perms}).
func (m *Manager) Require(perms ...Permission) func(http.Handler) http.Handler {
	return m.Guard(Policy{All: append([]Permission(nil), perms...)})
}

// Check decides over an HTTP request and writes nothing: for routers whose
// handlers are not net/http's. Answer an error by [Manager.WriteError], else
// put the Principal into the context by [NewContext] and call
// [Manager.SetHeader]. A Guard further in knows nothing of a Check: it takes
// from limits and counts again. The Principal is nil on an Optional policy that let a
// request without a credential pass. Errors are those of [Manager.Verify].
func (m *Manager) Check(r *http.Request, p Policy) (*Principal, Decision, error) {
	a := &attempt{http: r, rules: &m.http}
	principal, err := m.check(r, &p, a)
	return principal, a.decision, err
}

// check decides, and tells the host of a refusal.
func (m *Manager) check(r *http.Request, p *Policy, a *attempt) (*Principal, error) {
	principal, err := m.decide(r, p, a)
	if err != nil && !a.told && m.cfg.OnEvent != nil {
		m.refused(r.Context(), m.http.peer(r), err)
	}
	return principal, err
}

func (m *Manager) decide(r *http.Request, p *Policy, a *attempt) (*Principal, error) {
	if m.closed.Load() {
		return nil, ErrClosed
	}
	token, id, reason := m.http.credential(r.Header, &m.shapes, p.SkipForeign)
	if reason == ReasonMissing && p.Optional {
		return nil, nil
	}
	if reason != "" {
		return nil, &Denial{Reason: reason, Peer: m.http.peer(r)}
	}
	a.Token, a.id, a.All, a.Any, a.Environment, a.Cost = token, id, p.All, p.Any, p.Environment, p.Cost
	if p.Owner != nil {
		a.ownerBound, a.Owner = true, p.Owner(r)
	}
	ctx := r.Context()
	if outer, ok := ctx.Value(grantKey{}).(*grant); ok && outer.m == m && outer.principal != nil {
		a.outer = outer
	}
	return m.verify(ctx, a)
}

func (m *Manager) checkPolicy(p *Policy) error {
	for _, list := range [][]Permission{p.All, p.Any} {
		for _, need := range list {
			if !need.validRequired() {
				return fmt.Errorf("apikey: a route requires %q, which is no permission: it is 1 to 8 segments of a-z 0-9 _ - joined by ':', without wildcards", string(need))
			}
			if m.cfg.Catalog != nil && !m.cfg.Catalog.matches(need) {
				return fmt.Errorf("apikey: a route requires %q, which is not in Config.Catalog", string(need))
			}
		}
	}
	if p.Cost < 0 {
		return fmt.Errorf("apikey: a route costs %d; a Cost is 0 (1) or more", p.Cost)
	}
	return nil
}

// permissionSets gives a bit to each of the first 64 sets of permissions that
// routes ask for. A key's use remembers by it what was granted, so that a
// request looks at a bit in place of matching patterns. What is remembered ends
// with the use, that is with any change of the key.
type permissionSets struct {
	mu   sync.Mutex
	sets []string
}

// bit is that of p's permissions; 0 if it has none.
func (s *permissionSets) bit(p *Policy) uint64 {
	if len(p.All)+len(p.Any) == 0 {
		return 0
	}
	set := fmt.Sprint(p.All, p.Any)
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.sets, set)
	if i < 0 && len(s.sets) < 64 {
		i = len(s.sets)
		s.sets = append(s.sets, set)
	}
	if i < 0 {
		return 0
	}
	return 1 << i
}

// grant is the context of a request that was let in. It is one allocation with
// the values of the headers that its response has.
type grant struct {
	context.Context
	m         *Manager
	principal *Principal
	credit    atomic.Int64 // what was taken from limits, for the first guard further in
	values    [4]string
}

type grantKey struct{}

// Value gives the Principal to FromContext and the grant to an inner guard.
func (g *grant) Value(key any) any {
	switch key.(type) {
	case principalKey:
		return g.principal
	case grantKey:
		return g
	}
	return g.Context.Value(key)
}

// The names of headers as net/http spells them; clients take any case.
const (
	headerPolicy = "Ratelimit-Policy"
	headerLimit  = "Ratelimit"
	headerVary   = "Vary"
	headerCache  = "Cache-Control"
)

// SetHeader is what a Guard sets on the answer of a request that it lets in, for
// callers of [Manager.Check]: how much of the limit is left, that the answer is
// for this caller alone (Cache-Control: private, where there is a Principal),
// and that it varies with the credential. A handler may say otherwise.
func (m *Manager) SetHeader(h http.Header, p *Principal, d Decision) {
	policy := ""
	if d.Limit.N != 0 {
		policy = d.Limit.policy()
	}
	m.setHeader(h, p, &d, policy, new([4]string))
}

// setHeader sets headers whose values live in v.
func (m *Manager) setHeader(h http.Header, p *Principal, d *Decision, policy string, v *[4]string) {
	v[2], v[3] = "private", m.http.vary
	first := len(h) == 0                              // nearly always: there is nothing to look for then
	if p != nil && (first || h[headerCache] == nil) { // an outer handler may have said no-store
		h[headerCache] = v[2:3:3]
	}
	if first || h[headerVary] == nil {
		h[headerVary] = v[3:4:4]
	} else if vary := h[headerVary]; !slices.Contains(vary, v[3]) {
		h[headerVary] = append(slices.Clip(vary), v[3])
	}
	if d.Limit.N != 0 {
		v[0], v[1] = policy, d.header()
		h[headerPolicy], h[headerLimit] = v[0:1:1], v[1:2:2]
	}
}

// SetHeader tells the client of d's limit, as draft-ietf-httpapi-ratelimit-headers-10
// has it: RateLimit-Policy with the quota and its window in seconds, RateLimit
// with what remains and the seconds until the bucket is full again. Of the zero
// Decision it sets nothing.
func (d Decision) SetHeader(h http.Header) {
	if d.Limit.N != 0 {
		h[headerPolicy], h[headerLimit] = []string{d.Limit.policy()}, []string{d.header()}
	}
}

// header is the value of RateLimit: a structured field (RFC 9651) of one item.
func (d *Decision) header() string {
	var buf [maxNameLen + 48]byte
	b := append(append(append(buf[:0], '"'), d.Limit.Name...), `";r=`...)
	b = append(strconv.AppendInt(b, int64(d.Remaining), 10), ";t="...)
	b = strconv.AppendInt(b, int64((d.Reset+999_999_999)/1_000_000_000), 10)
	return string(b)
}

// policy is the RateLimit-Policy of l. A window of a broken number of seconds
// is rounded up, and the quota with it.
func (l *Limit) policy() string {
	window := ceilSeconds(l.Per).Seconds()
	return fmt.Sprintf(`"%s";q=%d;w=%d`, l.Name, int64(float64(l.N)*window/l.Per.Seconds()), int64(window))
}

// httpRules is HTTPConfig, checked and prepared.
type httpRules struct {
	sources    []Source
	challenges []string // without an error
	proxies    []netip.Prefix
	vary       string
	onError    func(http.ResponseWriter, *http.Request, error)
}

func (h *httpRules) configure(c *HTTPConfig, f *faults) {
	h.sources = append([]Source(nil), c.Sources...)
	if c.Sources == nil {
		h.sources = []Source{Bearer(), Header("X-Api-Key")}
	}
	if len(h.sources) == 0 {
		f.add("HTTP.Sources", "must be nil or hold at least one")
	}
	realm := c.Realm
	if realm == "" {
		realm = "api"
	}
	if strings.ContainsFunc(realm, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }) {
		f.add("HTTP.Realm", `must be printable ASCII without '"' and '\'`)
	}
	var vary []string
	for i, s := range h.sources {
		field := fmt.Sprintf("HTTP.Sources[%d]", i)
		if s.header == "" || strings.ContainsFunc(s.header, func(r rune) bool { return r > 0x7f || !isTchar(byte(r)) }) {
			f.add(field, "must be made by Bearer or Header, with the name of a header")
		}
		if strings.ContainsFunc(s.scheme, func(r rune) bool { return r > 0x7f || !isTchar(byte(r)) }) {
			f.add(field, "must be made by Authorization with the name of a scheme (RFC 9110, 11.1)")
		}
		for _, other := range h.sources[:i] {
			if other.header == s.header && (s.scheme == "" || other.scheme == "" || equalASCII(s.scheme, other.scheme)) {
				f.add(field, "is the header of another source")
			}
		}
		if !slices.Contains(vary, s.header) {
			vary = append(vary, s.header)
		}
		if s.scheme != "" {
			h.challenges = append(h.challenges, s.scheme+` realm="`+realm+`"`)
		}
	}
	if len(h.challenges) == 0 {
		// A 401 must have a challenge (RFC 9110, 15.5.2), and for a header of
		// one's own no scheme is registered.
		h.challenges = []string{`ApiKey realm="` + realm + `"`}
	}
	h.proxies = checkNetworks(c.TrustedProxies, f, "HTTP.TrustedProxies")
	h.vary = strings.Join(vary, ", ")
	h.onError = c.ErrorHandler
}

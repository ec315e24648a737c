package keyadmin

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-apikey/apikey"
)

// handler is every request's way in. Whatever serves a part of it, the API or
// the page, is reached with a request that is admitted: see [admitted].
type handler struct {
	cfg     Config
	manager *apikey.Manager
	known   *apikey.Catalog // what the manager knows of permissions; nil: nothing
	origin  http.CrossOriginProtection
	api     *api
	ui      *ui
}

// securityHeaders are on every answer.
var securityHeaders = map[string]string{
	"Cache-Control": "no-store",
	"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
		"base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Referrer-Policy":              "same-origin",
	"X-Content-Type-Options":       "nosniff",
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for name, value := range securityHeaders {
		w.Header().Set(name, value)
	}
	path, base, known := relative(r)
	plain, err := url.PathUnescape(path)
	if h.ui.serveAsset(w, r, path) {
		return
	}
	var a *admitted
	p := errCrossOrigin
	if h.sameOrigin(r) {
		a, p = h.admit(r)
	}
	if p == nil && (err != nil || !tidy(path)) {
		p = errNoCall
	}
	if a != nil {
		a.base, a.baseKnown = base, known
	}
	inner := r.WithContext(context.WithValue(r.Context(), admittedKey{}, a))
	inner.URL = &url.URL{Path: plain, RawPath: path, RawQuery: r.URL.RawQuery}
	switch {
	case isPage(path):
		h.ui.serve(w, inner, path, a, p)
	case p != nil:
		p.write(w)
	default:
		h.api.ServeHTTP(w, inner)
	}
}

// sameOrigin reports whether a request that may change something comes from
// the host's own pages, or from no browser. "Origin: null" is anybody's, such
// as a sandboxed frame, also where Sec-Fetch-Site says otherwise.
func (h *handler) sameOrigin(r *http.Request) bool {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return true
	}
	return h.origin.Check(r) == nil && !slices.ContainsFunc(r.Header.Values("Origin"), func(origin string) bool {
		return strings.EqualFold(strings.TrimSpace(origin), "null")
	})
}

// admitted is a person's request on the keys of an owner that is theirs to
// look at. What they may do there is still to be asked: [admitted.may].
type admitted struct {
	session   *Session
	keys      *apikey.Keyring
	now       time.Time
	base      string // path of the mount, escaped, without a trailing slash
	baseKnown bool   // it is what the client asked for
}

type admittedKey struct{}

// admittedFrom is what ServeHTTP put there.
func admittedFrom(ctx context.Context) *admitted {
	a, ok := ctx.Value(admittedKey{}).(*admitted)
	if !ok {
		panic("keyadmin: a request that was not admitted")
	}
	return a
}

// admit asks the host who is asking.
func (h *handler) admit(r *http.Request) (*admitted, *problem) {
	s, err := h.cfg.Identify(r)
	switch {
	case err != nil:
		return nil, errUnidentified
	case s == nil, !slices.ContainsFunc(s.Owners, func(o OwnerInfo) bool { return o.ID == s.Owner }):
		return nil, errNoMember
	}
	return &admitted{session: s, keys: h.manager.Keyring(s.Owner, s.Actor), now: h.manager.Now()}, nil
}

// operator reports whether it is the host's own staff.
func (a *admitted) operator() bool { return a.session.Actor.IsOperator() }

// ability is what a call asks of a session.
type ability int

const (
	see ability = iota
	create
	change
	revoke
)

// may is nil if the session has the ability and, where the call asks for one,
// is an operator's.
func (a *admitted) may(do ability, asOperator bool) *problem {
	has := a.session.Abilities
	if !map[ability]bool{see: has.See, create: has.Create, change: has.Change, revoke: has.Revoke}[do] {
		return errUnable
	}
	if asOperator && !a.operator() {
		return errOperator
	}
	return nil
}

// tag is the entity tag of a key: its version. Usage is counted beside the
// key and changes no version, so that a tag guards changes and not what is
// shown of use.
func tag(k *apikey.Key) string { return fmt.Sprintf(`"%d"`, k.Version) }

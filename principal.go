package apikey

import (
	"context"
	"fmt"
	"io"
	"log/slog"
)

// Principal is what a handler sees of the caller. It is immutable and shared
// between requests; no token and no digest is within its reach.
type Principal struct {
	pub    string // the public part of the record: see encoding.go
	plan   string
	secret uint32
	index  *permissionIndex // nil: read pub
}

func newPrincipal(pub string, secret uint32) Principal {
	p := Principal{pub: pub, secret: secret}
	p.index = indexPermissions(&p)
	return p
}

// KeyID is the ID of the key that was used.
func (p *Principal) KeyID() string { return keyID(p.pub) }

// Owner is whom the key belongs to: the tenant that the request acts for.
func (p *Principal) Owner() string {
	r := reader{s: p.pub}
	r.str()
	return r.str()
}

// Environment is that of the key's format; "" if formats have none.
func (p *Principal) Environment() string {
	r := p.afterVersion()
	return r.str()
}

// Name is what people call the key.
func (p *Principal) Name() string {
	r := p.afterVersion()
	r.str()
	r.skip(r.count(len(r.s)))
	return r.str()
}

// Plan is the name of the owner's plan; "" without Config.Plan.
func (p *Principal) Plan() string { return p.plan }

// Secret is the number of the key's secret that was used: see [Secret.N].
func (p *Principal) Secret() uint32 { return p.secret }

// Can reports whether the key may do this. A malformed permission is never
// allowed.
func (p *Principal) Can(required Permission) bool {
	return required.validRequired() && p.can(required)
}

// can is Can of a permission that is known to be well-formed.
func (p *Principal) can(required Permission) bool {
	if p.index != nil {
		return p.index.allows(required)
	}
	r, n := p.granted()
	for range n {
		if matchPermission(r.str(), string(required)) {
			return true
		}
	}
	return false
}

// Metadata is the host's own entry of this name; "" if there is none.
func (p *Principal) Metadata(name string) string {
	r := p.afterVersion()
	r.str()
	r.skip(r.count(len(r.s)))
	r.str()
	for range r.count(len(r.s)) {
		if k, v := r.str(), r.str(); k == name {
			return v
		}
	}
	return ""
}

// permissions is all that the key may do.
func (p *Principal) permissions() Permissions {
	r, n := p.granted()
	out := make(Permissions, n)
	for i := range out {
		out[i] = Permission(r.str())
	}
	return out
}

// granted reads up to the permissions, of which there are n.
func (p *Principal) granted() (r reader, n int) {
	r = p.afterVersion()
	r.str()
	return r, r.count(len(r.s))
}

func (p *Principal) afterVersion() reader {
	r := reader{s: p.pub}
	r.str()
	r.str()
	r.uint()
	return r
}

// String is the key's ID and owner.
func (p *Principal) String() string {
	if p == nil || p.pub == "" {
		return "apikey.Principal(none)"
	}
	return fmt.Sprintf("apikey.Principal(key %s of %s)", p.KeyID(), p.Owner())
}

// Format prints String, whatever the verb.
func (p *Principal) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, p.String()) }

// LogValue is the key's ID and owner.
func (p *Principal) LogValue() slog.Value {
	if p == nil || p.pub == "" {
		return slog.StringValue(p.String())
	}
	return slog.GroupValue(slog.String("key", p.KeyID()), slog.String("owner", p.Owner()))
}

// MarshalText is String.
func (p *Principal) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// GobEncode is String.
func (p *Principal) GobEncode() ([]byte, error) { return []byte(p.String()), nil }

type principalKey struct{}

// NewContext is ctx with p in it: for callers of [Manager.Check] and
// [Manager.Verify], and for tests of handlers. No guard trusts it: they
// authenticate the request themselves.
func NewContext(ctx context.Context, p *Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// FromContext is the caller of a guarded request. ok is false where no guard
// ran, or an Optional one let a request without a credential pass.
func FromContext(ctx context.Context) (p *Principal, ok bool) {
	p, ok = ctx.Value(principalKey{}).(*Principal)
	return p, ok && p != nil
}

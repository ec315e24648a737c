package keyadmin

import (
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-apikey/apikey"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// keyJSON is a key as clients see it.
type keyJSON struct {
	ID          string             `json:"id"`
	Owner       string             `json:"owner"`
	Name        string             `json:"name"`
	Description string             `json:"description"`
	Prefix      string             `json:"prefix" doc:"Of its newest token."`
	Masked      string             `json:"masked" doc:"Its newest token, as lists show it."`
	Environment string             `json:"environment"`
	Permissions apikey.Permissions `json:"permissions" nullable:"false"`
	State       apikey.State       `json:"state" enum:"active,scheduled,expired,disabled,held,revoked"`
	CreatedAt   time.Time          `json:"created_at"`
	CreatedBy   string             `json:"created_by"`
	NotBefore   time.Time          `json:"not_before,omitzero"`
	ExpiresAt   time.Time          `json:"expires_at,omitzero"`
	DisabledAt  time.Time          `json:"disabled_at,omitzero"`
	HeldAt      time.Time          `json:"held_at,omitzero"`
	RevokedAt   time.Time          `json:"revoked_at,omitzero"`
	LastUsedAt  time.Time          `json:"last_used_at,omitzero"`
	Requests    *int64             `json:"requests,omitempty" minimum:"0" doc:"Admitted, as far as they were counted."`
	Limited     *int64             `json:"limited,omitempty" minimum:"0" doc:"Refused by a limit."`
	Denied      *int64             `json:"denied,omitempty" minimum:"0" doc:"Refused otherwise, with a good token."`
	Networks    []netip.Prefix     `json:"networks" nullable:"false" doc:"From where it works; none: from anywhere."`
	Limits      []limitJSON        `json:"limits" nullable:"false"`
	Secrets     []secretJSON       `json:"secrets" nullable:"false" doc:"Its tokens, newest first."`
	LastRefusal *refusalJSON       `json:"last_refusal,omitempty"`
	Metadata    map[string]string  `json:"metadata,omitzero" doc:"For operators only."`
}

type secretJSON struct {
	N          uint32    `json:"n"`
	Masked     string    `json:"masked"`
	CreatedAt  time.Time `json:"created_at"`
	NotAfter   time.Time `json:"not_after,omitzero" doc:"When it stops, or stopped, to work."`
	LastUsedAt time.Time `json:"last_used_at,omitzero"`
}

type refusalJSON struct {
	At     time.Time     `json:"at"`
	Peer   string        `json:"peer,omitempty" doc:"The address that it came from."`
	Reason apikey.Reason `json:"reason"`
}

// limitJSON is a limit of a key's own or of the plan.
type limitJSON struct {
	Name       string    `json:"name" minLength:"1" maxLength:"64" doc:"Of a-z 0-9 _ -. It takes the place of the plan's limit of the same name."`
	N          int       `json:"n" minimum:"1" maximum:"1000000000" doc:"So many requests…"`
	PerSeconds float64   `json:"per_seconds" minimum:"0.001" maximum:"31622400" doc:"…in so many seconds."`
	Burst      int       `json:"burst,omitzero" minimum:"0" maximum:"1000000000" doc:"So many at once; 0: n."`
	Until      time.Time `json:"until,omitzero" doc:"The limit ends then."`
}

// show is k as this person sees it.
func (a *admitted) show(k *apikey.Key) keyJSON {
	out := keyJSON{
		ID: k.ID, Owner: k.Owner, Name: k.Name, Description: k.Description, Environment: k.Environment,
		Masked: k.Masked(), Permissions: k.Permissions, State: k.State(a.now), CreatedAt: k.CreatedAt, CreatedBy: k.CreatedBy,
		NotBefore: k.NotBefore, ExpiresAt: k.ExpiresAt, DisabledAt: k.DisabledAt, HeldAt: k.HeldAt, RevokedAt: k.RevokedAt,
		LastUsedAt: k.Usage.LastUsedAt, Requests: &k.Usage.Requests, Limited: &k.Usage.Limited, Denied: &k.Usage.Denied,
		Networks: k.Networks,
	}
	for _, l := range k.Limits {
		out.Limits = append(out.Limits, limitJSON{Name: l.Name, N: l.N, PerSeconds: l.Per.Seconds(), Burst: l.Burst, Until: l.Until})
	}
	for i, s := range k.Secrets {
		if i == 0 {
			out.Prefix = s.Prefix
		}
		end := s.NotAfter
		if !s.EndedAt.IsZero() {
			end = s.EndedAt
		}
		alone := apikey.Key{ID: k.ID, Secrets: k.Secrets[i : i+1]}
		out.Secrets = append(out.Secrets, secretJSON{
			N: s.N, Masked: alone.Masked(), CreatedAt: s.CreatedAt, NotAfter: end, LastUsedAt: k.Usage.LastUsed[s.N],
		})
	}
	if r := k.Usage.LastRefusal; !r.At.IsZero() {
		out.LastRefusal = &refusalJSON{At: r.At, Reason: r.Reason}
		if r.Peer.IsValid() {
			out.LastRefusal.Peer = r.Peer.String()
		}
	}
	if a.operator() {
		out.Metadata = k.Metadata
		if out.Metadata == nil {
			out.Metadata = map[string]string{}
		}
	}
	return out
}

// overrides are limits as the library has them.
func overrides(limits []limitJSON) []apikey.LimitOverride {
	var out []apikey.LimitOverride
	for _, l := range limits {
		per := time.Duration(math.Round(l.PerSeconds * float64(time.Second)))
		out = append(out, apikey.LimitOverride{Limit: apikey.Limit{Name: l.Name, N: l.N, Per: per, Burst: l.Burst}, Until: l.Until})
	}
	return out
}

// prefixes are networks as the library has them. A single address is a
// network of one.
func prefixes(networks []string, p *problem) []netip.Prefix {
	var out []netip.Prefix
	for i, s := range networks {
		n, err := netip.ParsePrefix(s)
		if one, oneErr := netip.ParseAddr(s); oneErr == nil && one.Zone() == "" {
			n, err = netip.PrefixFrom(one, one.BitLen()), nil
		}
		if err != nil {
			p.Errors = append(p.Errors, fieldAt{
				fmt.Sprintf("body.networks[%d]", i), "must be a network, such as 192.0.2.0/24 or 2001:db8::/32, or an address",
			})
			continue
		}
		out = append(out, n)
	}
	return out
}

// preset is the permissions of one of the catalog's, instead of single ones.
func (a *api) preset(name string, permissions apikey.Permissions, p *problem) apikey.Permissions {
	if permissions != nil {
		p.Errors = append(p.Errors, fieldAt{"body.preset", "must not be there beside permissions"})
		return nil
	}
	if a.known != nil {
		for _, preset := range a.known.Presets {
			if preset.Name == name {
				return preset.Permissions
			}
		}
	}
	p.Errors = append(p.Errors, fieldAt{"body.preset", "must be a preset of the catalog"})
	return nil
}

// field is one of a change: it may be left out, or null to empty it.
type field[T any] struct {
	set, null bool
	value     T
}

// Schema is T's, and null.
func (field[T]) Schema(r huma.Registry) *huma.Schema {
	s := r.Schema(reflect.TypeFor[T](), true, "")
	s.Nullable = true
	return s
}

// IsZero reports whether it was left out.
func (f field[T]) IsZero() bool { return !f.set }

// UnmarshalJSONFrom reads it, as strictly as what it stands in.
func (f *field[T]) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	f.set, f.null = true, d.PeekKind() == 'n'
	return json.UnmarshalDecode(d, &f.value)
}

// MarshalJSONTo is the other way round.
func (f field[T]) MarshalJSONTo(e *jsontext.Encoder) error {
	if f.null {
		return e.WriteToken(jsontext.Null)
	}
	return json.MarshalEncode(e, f.value)
}

// pointer is for a KeyUpdate: nil if it was left out.
func (f *field[T]) pointer() *T {
	if !f.set {
		return nil
	}
	return &f.value
}

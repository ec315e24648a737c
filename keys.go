package apikey

import (
	"maps"
	"net/netip"
	"slices"
	"time"
)

// Key is what people manage: who may do what, until when. It holds no secret.
//
// A Key is a copy that its holder may change; changing it changes nothing
// stored. Its JSON is safe to show: no digest, alias or metadata is in it.
type Key struct {
	ID          string            `json:"id"`                  // base62; never changes
	Alias       string            `json:"-" xml:"-"`           // of an imported key, "~scheme:locator": the other name by which a Store finds it; never shown, never changes
	Owner       string            `json:"owner"`               // the tenant it belongs to; never changes
	Name        string            `json:"name"`                // 1 to 256 characters
	Description string            `json:"description"`         // up to 1,024 characters
	Environment string            `json:"environment"`         // of the format it was made in; never changes
	Permissions Permissions       `json:"permissions"`         // sorted, none covered by another; empty: it may do nothing that asks for one
	Networks    []netip.Prefix    `json:"networks,omitempty"`  // from where it may be used; empty: from anywhere
	Limits      []LimitOverride   `json:"limits,omitempty"`    // its own limits beside or in place of the plan's; set by operators
	Metadata    map[string]string `json:"-" xml:"-"`           // the host's own, set by operators: at most 32 entries, 4 KiB in all
	CreatedAt   time.Time         `json:"created_at"`          // UTC, whole microseconds, as all times here
	CreatedBy   string            `json:"created_by"`          // the ID of the actor who made it
	NotBefore   time.Time         `json:"not_before,omitzero"` // zero: no such time, as below
	ExpiresAt   time.Time         `json:"expires_at,omitzero"`
	DisabledAt  time.Time         `json:"disabled_at,omitzero"` // by someone of the owner's; they can enable it again
	HeldAt      time.Time         `json:"held_at,omitzero"`     // an operator's disable, which the owner cannot undo
	RevokedAt   time.Time         `json:"revoked_at,omitzero"`  // for ever
	Secrets     []Secret          `json:"secrets"`              // one, or two after a rotation; newest first
	Version     int64             `json:"version"`              // 1, 2, …: goes up by one with every change
	Usage       Usage             `json:"usage"`                // kept beside the record: filled in by Keyring.Get and List
}

// Secret is one of a key's tokens, without the token: its digest is in the
// [Record] only.
type Secret struct {
	N         uint32    `json:"n"`                // 1, 2, …; never reused within a key
	Prefix    string    `json:"prefix"`           // of its token
	Scheme    string    `json:"scheme,omitempty"` // of a token that another system issued: Scheme.Name; "": it is native
	CreatedAt time.Time `json:"created_at"`
	NotAfter  time.Time `json:"not_after,omitzero"` // the end of its grace, set when a newer one replaced it; zero: none
	EndedAt   time.Time `json:"ended_at,omitzero"`  // ended at once, whatever the clock says; zero: it was not
}

// Live reports whether the secret's token is good at now, as far as the token
// itself goes.
func (s *Secret) Live(now time.Time) bool {
	return s.EndedAt.IsZero() && (s.NotAfter.IsZero() || now.Before(s.NotAfter))
}

// Usage is what a key has been used for, as far as it was flushed to the store.
type Usage struct {
	Requests    int64                `json:"requests"` // admitted
	Limited     int64                `json:"limited"`  // refused by a limit, with a proven secret
	Denied      int64                `json:"denied"`   // refused otherwise, with a proven secret
	LastUsedAt  time.Time            `json:"last_used_at,omitzero"`
	LastUsed    map[uint32]time.Time `json:"last_used,omitempty"` // by Secret.N: who still uses the old one?
	LastRefusal Refusal              `json:"last_refusal,omitzero"`
}

// Refusal is the last time that a proven secret of a key was refused.
type Refusal struct {
	At     time.Time  `json:"at"`
	Peer   netip.Addr `json:"peer,omitzero"` // the zero Addr: not known
	Reason Reason     `json:"reason"`
}

// LimitOverride is a limit of one key's own. It stands in the place of the
// plan's key limit of the same name; a name that the plan lacks adds a bucket.
type LimitOverride struct {
	Limit
	Until time.Time `json:"until,omitzero"` // the override ends then; zero: it does not
}

// State is what a key is at some time.
type State string

// The states, in the order in which they prevail: a key that is revoked and
// expired is revoked.
const (
	StateRevoked   State = "revoked"
	StateHeld      State = "held"
	StateDisabled  State = "disabled"
	StateExpired   State = "expired"
	StateScheduled State = "scheduled" // NotBefore is still to come
	StateActive    State = "active"
)

// State is what the key is at now.
func (k *Key) State(now time.Time) State {
	switch {
	case !k.RevokedAt.IsZero():
		return StateRevoked
	case !k.HeldAt.IsZero():
		return StateHeld
	case !k.DisabledAt.IsZero():
		return StateDisabled
	case !k.ExpiresAt.IsZero() && !now.Before(k.ExpiresAt):
		return StateExpired
	case now.Before(k.NotBefore):
		return StateScheduled
	}
	return StateActive
}

// Live reports whether the key counts against its owner's cap at now: it is
// neither revoked nor expired. A disabled, held or scheduled key is live.
func (k *Key) Live(now time.Time) bool {
	return k.RevokedAt.IsZero() && (k.ExpiresAt.IsZero() || now.Before(k.ExpiresAt))
}

// Masked is what lists show in place of the newest token: its prefix, the first
// eight characters of the ID, and "…". A token of a [Scheme] does not have the
// ID in it: of that one it is the prefix and "…".
func (k *Key) Masked() string {
	switch {
	case len(k.Secrets) == 0:
		return mask("", k.ID)
	case k.Secrets[0].Scheme != "":
		return k.Secrets[0].Prefix + "…"
	}
	return mask(k.Secrets[0].Prefix, k.ID)
}

// Principal is what a handler would see of a request with this key, for a
// host's own tests: see [NewContext]. Nothing is checked.
func (k *Key) Principal() *Principal {
	d := document{key: *k, form: recordForm, oldest: recordForm}
	n := uint32(0)
	if len(k.Secrets) > 0 {
		n = k.Secrets[0].N
	}
	p := newPrincipal(string(d.appendPublic(nil)), n)
	return &p
}

// clone copies k so that nothing is shared with it.
func (k *Key) clone() *Key {
	c := *k
	c.Permissions = slices.Clone(k.Permissions)
	c.Networks = slices.Clone(k.Networks)
	c.Limits = slices.Clone(k.Limits)
	c.Metadata = maps.Clone(k.Metadata)
	c.Secrets = slices.Clone(k.Secrets)
	c.Usage.LastUsed = maps.Clone(k.Usage.LastUsed)
	return &c
}

func mask(prefix, id string) string {
	return prefix + id[:min(len(id), 8)] + "…"
}

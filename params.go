package apikey

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"
	"unicode/utf8"
)

// KeyParams is what a new key is to be.
type KeyParams struct {
	Name        string            // 1 to 256 characters, printable
	Description string            // up to 1,024 characters; may have lines
	Prefix      string            // of its token's format; "": the first that is issued, in Environment if that is set
	Environment string            // of its format; "": that of Prefix. The two must agree
	Permissions Permissions       // what it may do; nil: nothing that asks for a permission. At most 1,000
	NotBefore   time.Time         // zero: at once
	ExpiresAt   time.Time         // zero: never; must be to come
	Networks    []netip.Prefix    // from where it may be used; nil: from anywhere. At most 64
	Limits      []LimitOverride   // set by operators; at most 16
	Metadata    map[string]string // set by operators; at most 32 entries, 4 KiB in all
}

// KeyUpdate is what to change. A nil field stays as it is; new(v) writes one.
type KeyUpdate struct {
	Name        *string
	Description *string
	Permissions *Permissions
	NotBefore   *time.Time         // to the zero Time: no such time, as for ExpiresAt
	ExpiresAt   *time.Time         // an expired key that lives again counts against the cap
	Networks    *[]netip.Prefix    // all of them; none: from anywhere
	Limits      *[]LimitOverride   // all of them; set by operators
	Metadata    *map[string]string // all of it; set by operators
	IfVersion   int64              // change only this version of the key; 0: whatever it is
}

// key is the key that p describes, but for what comes of its token. It must
// expire after the time given, or never.
func (p *KeyParams) key(r *Keyring, f *faults, now, expiresAfter time.Time) *Key {
	k := &Key{
		Owner:       r.owner,
		Name:        p.Name,
		Description: p.Description,
		Permissions: normalizePermissions(p.Permissions, r.m.cfg.Catalog, f, "Permissions"),
		Networks:    checkNetworks(p.Networks, f, "Networks"),
		Limits:      microLimits(p.Limits),
		Metadata:    maps.Clone(p.Metadata),
		CreatedAt:   now,
		CreatedBy:   r.by.ID,
		NotBefore:   micro(p.NotBefore),
		ExpiresAt:   micro(p.ExpiresAt),
		Version:     1,
	}
	checkName(f, k)
	checkTimes(f, k, expiresAfter)
	checkOverrides(f, k.Limits, now)
	checkMetadata(f, k.Metadata)
	return k
}

// apply changes k as u says.
func (u *KeyUpdate) apply(k *Key, c *Catalog, now time.Time) (changed bool, err error) {
	var f faults
	before := *k
	if u.Name != nil {
		k.Name = *u.Name
	}
	if u.Description != nil {
		k.Description = *u.Description
	}
	if u.Permissions != nil {
		k.Permissions = normalizePermissions(*u.Permissions, c, &f, "Permissions")
	}
	if u.NotBefore != nil {
		k.NotBefore = micro(*u.NotBefore)
	}
	if u.ExpiresAt != nil {
		k.ExpiresAt = micro(*u.ExpiresAt)
	}
	if u.NotBefore != nil || u.ExpiresAt != nil {
		expiresAfter := now
		if k.ExpiresAt.Equal(before.ExpiresAt) {
			expiresAfter = time.Time{} // it may be past: it is not what is changed
		}
		checkTimes(&f, k, expiresAfter)
	}
	if u.Networks != nil {
		k.Networks = checkNetworks(*u.Networks, &f, "Networks")
	}
	if u.Limits != nil {
		k.Limits = microLimits(*u.Limits)
		checkOverrides(&f, k.Limits, now)
	}
	if u.Metadata != nil {
		k.Metadata = maps.Clone(*u.Metadata)
		checkMetadata(&f, k.Metadata)
	}
	checkName(&f, k)
	changed = k.Name != before.Name || k.Description != before.Description || !slices.Equal(k.Permissions, before.Permissions) ||
		!k.NotBefore.Equal(before.NotBefore) || !k.ExpiresAt.Equal(before.ExpiresAt) ||
		!slices.Equal(k.Networks, before.Networks) || !slices.Equal(k.Limits, before.Limits) || !maps.Equal(k.Metadata, before.Metadata)
	return changed, f.err()
}

const maxNetworks = 64

// checkNetworks is networks as they are stored: masked, IPv4 not mapped into
// IPv6, sorted, each once; nil if there are none.
func checkNetworks(networks []netip.Prefix, f *faults, field string) []netip.Prefix {
	if len(networks) > maxNetworks {
		f.add(field, "must be at most %d", maxNetworks)
		return nil
	}
	var out []netip.Prefix
	for i, n := range networks {
		if a := n.Addr(); a.Is4In6() && n.Bits() >= 96 {
			n = netip.PrefixFrom(a.Unmap(), n.Bits()-96)
		}
		if !n.IsValid() || n.Addr().Is4In6() {
			f.add(fmt.Sprintf("%s[%d]", field, i), "must be a network, such as 192.0.2.0/24 or 2001:db8::/32")
			continue
		}
		out = append(out, n.Masked())
	}
	slices.SortFunc(out, netip.Prefix.Compare)
	return slices.Compact(out)
}

func checkName(f *faults, k *Key) {
	checkText(f, "Name", k.Name, 1, 256, false)
	checkText(f, "Description", k.Description, 0, 1024, true)
}

func checkTimes(f *faults, k *Key, expiresAfter time.Time) {
	for _, t := range []struct {
		field string
		t     time.Time
	}{{"NotBefore", k.NotBefore}, {"ExpiresAt", k.ExpiresAt}} {
		if !validTime(t.t) {
			f.add(t.field, "must be after 1970 and before the year 10000")
		}
	}
	if !k.ExpiresAt.IsZero() && !expiresAfter.Before(k.ExpiresAt) {
		f.add("ExpiresAt", "must be to come")
	}
	if !k.ExpiresAt.IsZero() && !k.NotBefore.IsZero() && !k.NotBefore.Before(k.ExpiresAt) {
		f.add("NotBefore", "must be before ExpiresAt")
	}
}

func checkOverrides(f *faults, limits []LimitOverride, now time.Time) {
	plain := make([]Limit, len(limits))
	for i, l := range limits {
		plain[i] = l.Limit
		if !l.Until.IsZero() && (!validTime(l.Until) || !now.Before(l.Until)) {
			f.add(fmt.Sprintf("Limits[%d].Until", i), "must be to come, and before the year 10000")
		}
	}
	checkLimits(f, "Limits", plain)
}

func checkMetadata(f *faults, m map[string]string) {
	size := 0
	for k, v := range m {
		size += len(k) + len(v)
		if k == "" || !printable(k, false) || !utf8.ValidString(v) {
			f.add("Metadata", "must have non-empty names and values of UTF-8, names without control characters")
			break
		}
	}
	if len(m) > 32 || size > 4096 {
		f.add("Metadata", "must be at most 32 entries and 4096 bytes in all")
	}
}

// formatFor is the format of a new key.
func (m *Manager) formatFor(f *faults, prefix, environment string) *Format {
	for i := range m.formats {
		format := &m.formats[i]
		if format.NoIssue || prefix != "" && format.Prefix != prefix || environment != "" && format.Environment != environment {
			continue
		}
		return format
	}
	switch {
	case prefix != "" && environment != "":
		f.add("Prefix", "must be that of a format that is issued, and of the Environment asked for")
	case prefix != "":
		f.add("Prefix", "must be that of a format that is issued")
	case environment != "":
		f.add("Environment", "must be that of a format that is issued")
	default:
		f.add("Prefix", "no format is issued any more: see Format.NoIssue")
	}
	return nil
}

// micro is t as it is stored.
func micro(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Microsecond)
}

func microLimits(limits []LimitOverride) []LimitOverride {
	out := slices.Clone(limits)
	for i := range out {
		out[i].Until = micro(out[i].Until)
	}
	return out
}

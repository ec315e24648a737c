package apikey

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// change is the history entry of a change from before to after.
func (r *Keyring) change(action string, at time.Time, before, after *Key) Change {
	c := Change{At: at, Actor: r.by.ID, Action: action, KeyID: after.ID, Owner: r.owner}
	add := func(name, old, now string) {
		if old != now {
			c.Fields = append(c.Fields, FieldChange{Name: name, Old: old, New: now})
		}
	}
	add("name", before.Name, after.Name)
	add("description", before.Description, after.Description)
	add("environment", before.Environment, after.Environment)
	add("permissions", fmt.Sprint(before.Permissions), fmt.Sprint(after.Permissions))
	add("networks", showNetworks(before.Networks), showNetworks(after.Networks))
	add("limits", showLimits(before.Limits), showLimits(after.Limits))
	add("not_before", showTime(before.NotBefore), showTime(after.NotBefore))
	add("expires_at", showTime(before.ExpiresAt), showTime(after.ExpiresAt))
	if !maps.Equal(before.Metadata, after.Metadata) {
		c.Fields = append(c.Fields, FieldChange{Name: "metadata"}) // the host's own: that it changed, not what it is
	}
	add("secrets", showSecrets(before.Secrets), showSecrets(after.Secrets))
	return c
}

func showTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func showNetworks(networks []netip.Prefix) string {
	s := make([]string, len(networks))
	for i, n := range networks {
		s[i] = n.String()
	}
	return strings.Join(s, " ")
}

func showLimits(limits []LimitOverride) string {
	s := ""
	for i, l := range limits {
		if i > 0 {
			s += "; "
		}
		s += fmt.Sprintf("%s: %d per %v", l.Name, l.N, l.Per)
		if l.Burst != 0 {
			s += fmt.Sprintf(", burst %d", l.Burst)
		}
		if !l.Until.IsZero() {
			s += " until " + showTime(l.Until)
		}
	}
	return s
}

func showSecrets(secrets []Secret) string {
	s := ""
	for i, secret := range slices.Backward(secrets) {
		if i < len(secrets)-1 {
			s += "; "
		}
		s += fmt.Sprintf("%d: %s", secret.N, secret.Prefix)
		if !secret.EndedAt.IsZero() {
			s += " ended " + showTime(secret.EndedAt)
		} else if !secret.NotAfter.IsZero() {
			s += " until " + showTime(secret.NotAfter)
		}
	}
	return s
}

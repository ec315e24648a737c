package apikey

import (
	"fmt"
	"slices"
	"strings"
)

// Permission is what a key may do, or what a route asks for: 1 to 8 segments
// of a-z 0-9 _ - joined by ':', at most 128 bytes in all, as in "calls:create".
//
// In a granted one a segment may be "*", which stands for one or more
// segments, wherever it is: "*" is everything, "calls:*" is calls:create and
// calls:live:read but not calls, "*:read" is calls:read and
// integrations:hubspot:read. A required one has no "*".
type Permission string

// Permissions is a set of granted permissions. nil grants nothing. A key holds
// at most 1,000 of them; Create and Update keep them sorted, without
// duplicates, and without those that another of the set covers.
type Permissions []Permission

// Catalog lists the permissions that a service knows, for a page on which
// people choose and so that a mistyped one is refused when it is granted. With
// a Catalog that lists none, none can be granted.
type Catalog struct {
	Permissions []PermissionInfo // each once, and none with a "*"
	Presets     []Preset         // nil: none
}

// PermissionInfo is a permission as people see it.
type PermissionInfo struct {
	Permission  Permission // no "*" in it
	Title       string     // "": the permission itself is shown
	Description string     // "": none
	Group       string     // under which heading it is shown; "": none
}

// Preset is a set of permissions that people choose as one, such as
// "Read only" for {"*:read"}.
type Preset struct {
	Name        string      // required, unique within the Catalog
	Title       string      // "": the name is shown
	Description string      // "": none
	Permissions Permissions // each is in the Catalog or, with a "*", matches one that is
}

const (
	maxPermissions        = 1000
	maxPermissionLen      = 128
	maxPermissionSegments = 8

	grantedForm  = "must be 1 to 8 segments of a-z 0-9 _ - joined by ':', at most 128 bytes; a whole segment may be '*'"
	requiredForm = "must be 1 to 8 segments of a-z 0-9 _ - joined by ':', at most 128 bytes, without '*'"
)

// Allows reports whether ps grants required. A malformed one, or one with a
// "*", is never granted. It allocates nothing.
func (ps Permissions) Allows(required Permission) bool {
	if !required.validRequired() {
		return false
	}
	for _, granted := range ps {
		if matchPermission(string(granted), string(required)) {
			return true
		}
	}
	return false
}

// Covers reports whether ps grants all that others grants, so that who holds
// ps may give others away. A malformed one of others is never covered; nil is
// covered by every set.
//
// A pattern q is asked for as if its own text were required, each "*" of it
// being a segment like any other, which only a "*" of ps matches. That is
// exact. Put into q, in place of each "*", one segment that occurs nowhere in
// ps: q grants this permission, so some one p of ps must match it, and can
// match the new segments only by its own "*". Hence p matches q's text. And
// whatever q's "*" stand for, the "*" of p that took them takes that too, so
// p alone covers q. (When q is so near 128 bytes that no new segment fits,
// the answer may be no where many permissions together would cover q: it
// never errs the other way.)
func (ps Permissions) Covers(others Permissions) bool {
	for _, q := range others {
		if !q.validGranted() || !ps.match(q) {
			return false
		}
	}
	return true
}

// match reports whether one of ps matches p, which is well-formed.
func (ps Permissions) match(p Permission) bool {
	return slices.ContainsFunc(ps, func(granted Permission) bool {
		return matchPermission(string(granted), string(p))
	})
}

// matchPermission reports whether granted matches required, each "*" of
// granted taking one or more segments. required must be well-formed; then a
// malformed granted matches nothing. Of a "*" in required see
// [Permissions.Covers].
//
// Before its first "*", granted must be required letter by letter: that refuses
// most. From there it goes by segments.
// When what follows a "*" does not match, only the latest "*" takes another
// segment: the earlier ones hold the fewest they can, and giving them more
// would leave less for the rest. So the work is at most the product of the
// numbers of segments, 64 comparisons.
func matchPermission(granted, required string) bool {
	if granted == required { // by far the most frequent way to match
		return true
	}
	same := 0
	for same < min(len(granted), len(required)) && granted[same] == required[same] && granted[same] != '*' {
		same++
	}
	if same == len(granted) || granted[same] != '*' {
		return false
	}
	g, r := 0, 0              // where the next segments start
	afterStar, retry := -1, 0 // after the latest "*" of granted, and where what follows it is tried next
	for r <= len(required) {
		rEnd := segmentEnd(required, r)
		if g <= len(granted) {
			gEnd := segmentEnd(granted, g)
			if granted[g:gEnd] == "*" {
				g, r = gEnd+1, rEnd+1
				afterStar, retry = g, r
				continue
			}
			if granted[g:gEnd] == required[r:rEnd] {
				g, r = gEnd+1, rEnd+1
				continue
			}
		}
		if afterStar < 0 || retry > len(required) {
			return false
		}
		retry = segmentEnd(required, retry) + 1
		g, r = afterStar, retry
	}
	return g > len(granted)
}

// permissionIndex finds one of many granted permissions without reading them
// all: those without a "*" by halving, and the others, mostly few, in turn.
type permissionIndex struct {
	exact []string // ascending
	wild  []string
}

// indexAbove is how many permissions are sooner read than halved.
const indexAbove = 8

// indexPermissions is the index of a Principal's permissions; nil if they are few.
func indexPermissions(p *Principal) *permissionIndex {
	r, n := p.granted()
	if n <= indexAbove {
		return nil
	}
	x := &permissionIndex{exact: make([]string, 0, n)}
	for range n {
		if granted := r.str(); strings.Contains(granted, "*") {
			x.wild = append(x.wild, granted)
		} else {
			x.exact = append(x.exact, granted)
		}
	}
	slices.Sort(x.exact) // they are, but what a key may do must not hang on that
	return x
}

// allows reports whether required, which is well-formed, is granted.
func (x *permissionIndex) allows(required Permission) bool {
	if _, ok := slices.BinarySearch(x.exact, string(required)); ok {
		return true
	}
	return slices.ContainsFunc(x.wild, func(granted string) bool {
		return matchPermission(granted, string(required))
	})
}

// segmentEnd is where the segment of s that starts at i ends.
func segmentEnd(s string, i int) int {
	for i < len(s) && s[i] != ':' {
		i++
	}
	return i
}

// validRequired reports whether p is one that a route may ask for.
func (p Permission) validRequired() bool { return p.wellFormed(false) }

// validGranted reports whether p is one that a key may hold.
func (p Permission) validGranted() bool { return p.wellFormed(true) }

func (p Permission) wellFormed(wild bool) bool {
	if len(p) > maxPermissionLen {
		return false
	}
	segments, length, star := 1, 0, false // length and star: of the segment being read
	for i := range len(p) {
		switch c := p[i]; {
		case c == ':':
			if length == 0 || segments == maxPermissionSegments {
				return false
			}
			segments, length, star = segments+1, 0, false
			continue
		case star: // "*" is a whole segment
			return false
		case c == '*':
			if !wild || length > 0 {
				return false
			}
			star = true
		case (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '-':
			return false
		}
		length++
	}
	return length > 0
}

// normalizePermissions returns ps sorted, each once, without those that
// another covers, in a slice of its own; nil if there is none. What is wrong
// with ps is added to f under the name field, and nil is returned. c is nil or
// the Catalog that all of them must be in.
func normalizePermissions(ps Permissions, c *Catalog, f *faults, field string) Permissions {
	if len(ps) > maxPermissions {
		f.add(field, "must be at most %d permissions, not %d", maxPermissions, len(ps))
		return nil
	}
	before := len(*f)
	for i, p := range ps {
		switch {
		case !p.validGranted():
			f.add(fmt.Sprintf("%s[%d]", field, i), grantedForm)
		case c != nil && !c.matches(p):
			f.add(fmt.Sprintf("%s[%d]", field, i), "must be in the catalog or match one that is")
		}
	}
	if len(*f) > before || len(ps) == 0 {
		return nil
	}
	sorted := slices.Compact(slices.Sorted(slices.Values(ps)))
	var wild Permissions // only these cover another
	for _, p := range sorted {
		if strings.Contains(string(p), "*") {
			wild = append(wild, p)
		}
	}
	return slices.DeleteFunc(sorted, func(p Permission) bool {
		return slices.ContainsFunc(wild, func(w Permission) bool {
			return w != p && matchPermission(string(w), string(p))
		})
	})
}

func (c *Catalog) clone() *Catalog {
	if c == nil {
		return nil
	}
	out := &Catalog{Permissions: slices.Clone(c.Permissions), Presets: slices.Clone(c.Presets)}
	for i := range out.Presets {
		out.Presets[i].Permissions = slices.Clone(out.Presets[i].Permissions)
	}
	return out
}

// check adds to f what is wrong with c. A nil c is fine.
func (c *Catalog) check(f *faults) {
	if c == nil {
		return
	}
	listed := make(map[Permission]bool, len(c.Permissions))
	for i, info := range c.Permissions {
		field := fmt.Sprintf("Catalog.Permissions[%d].Permission", i)
		switch {
		case !info.Permission.validRequired():
			f.add(field, requiredForm)
		case listed[info.Permission]:
			f.add(field, "is in the catalog twice")
		}
		listed[info.Permission] = true
	}
	named := make(map[string]bool, len(c.Presets))
	for i, preset := range c.Presets {
		field := fmt.Sprintf("Catalog.Presets[%d]", i)
		switch {
		case preset.Name == "":
			f.add(field+".Name", "must not be empty")
		case named[preset.Name]:
			f.add(field+".Name", "must be unique among the presets")
		}
		named[preset.Name] = true
		normalizePermissions(preset.Permissions, c, f, field+".Permissions")
	}
}

// matches reports whether granted, which is well-formed, grants anything in c.
func (c *Catalog) matches(granted Permission) bool {
	return slices.ContainsFunc(c.Permissions, func(info PermissionInfo) bool {
		return matchPermission(string(granted), string(info.Permission))
	})
}

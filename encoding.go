package apikey

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"
)

// The stored form of a record, version 1. Numbers are unsigned varints
// (encoding/binary) in their shortest form, strings a length and their bytes,
// lists a count and their items, times microseconds since 1970 with 0 for none.
//
//	byte    form     the version that wrote it
//	byte    oldest   the oldest version that may read it
//	uint16  offset of the public part, big-endian
//	private part:
//	  RevokedAt HeldAt DisabledAt ExpiresAt NotBefore
//	  list of secrets: N, kind, pepper version, digest, NotAfter, EndedAt
//	  list of networks: strings of the address's 4 or 16 bytes and one of bits
//	  Alias
//	public part:
//	  ID Owner Version Environment, list of permissions, Name
//	  list of metadata: key, value; keys ascending
//	  Description CreatedBy CreatedAt
//	  for each secret: Prefix, Scheme, CreatedAt
//	  list of limits: Name, N, Per in ns, Burst, Until
//	  whatever a later version adds
//
// What a check needs stands first, so that it lies in one or two cache lines.
// The public part is apart so that a Principal can share it without reaching a
// digest. A later version that adds a field which older ones may ignore appends
// it: they carry it along unread. One that they must not ignore raises oldest:
// they fail closed.
const (
	recordForm = 1
	headerLen  = 4
	maxSecrets = 2
)

// document is a record taken apart.
type document struct {
	key          Key
	digests      []Digest // one for each of key.Secrets
	form, oldest byte
	extra        string // what a later version added
}

// record encodes d. Its errors are [ErrInvalid].
func (d *document) record() (*Record, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	b := make([]byte, headerLen, 256)
	b[0], b[1] = max(d.form, recordForm), max(d.oldest, recordForm)
	k := &d.key
	for _, t := range [...]time.Time{k.RevokedAt, k.HeldAt, k.DisabledAt, k.ExpiresAt, k.NotBefore} {
		b = appendTime(b, t)
	}
	b = binary.AppendUvarint(b, uint64(len(k.Secrets)))
	for i, s := range k.Secrets {
		g := d.digests[i]
		b = binary.AppendUvarint(b, uint64(s.N))
		b = binary.AppendUvarint(b, uint64(g.kind))
		b = binary.AppendUvarint(b, uint64(g.pepper))
		b = appendString(b, g.sum())
		b = appendTime(b, s.NotAfter)
		b = appendTime(b, s.EndedAt)
	}
	b = binary.AppendUvarint(b, uint64(len(k.Networks)))
	for _, n := range k.Networks {
		b = appendString(b, string(append(n.Addr().AsSlice(), byte(n.Bits()))))
	}
	b = appendString(b, k.Alias)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	return newRecord(string(d.appendPublic(b))), nil
}

// next encodes d as the version after the one that it was read from.
func (d *document) next() (*Record, error) {
	d.key.Version++
	return d.record()
}

func (d *document) appendPublic(b []byte) []byte {
	k := &d.key
	b = appendString(b, k.ID)
	b = appendString(b, k.Owner)
	b = binary.AppendUvarint(b, uint64(k.Version))
	b = appendString(b, k.Environment)
	b = binary.AppendUvarint(b, uint64(len(k.Permissions)))
	for _, p := range k.Permissions {
		b = appendString(b, string(p))
	}
	b = appendString(b, k.Name)
	b = binary.AppendUvarint(b, uint64(len(k.Metadata)))
	for _, name := range slices.Sorted(maps.Keys(k.Metadata)) {
		b = appendString(b, name)
		b = appendString(b, k.Metadata[name])
	}
	b = appendString(b, k.Description)
	b = appendString(b, k.CreatedBy)
	b = appendTime(b, k.CreatedAt)
	for _, s := range k.Secrets {
		b = appendString(b, s.Prefix)
		b = appendString(b, s.Scheme)
		b = appendTime(b, s.CreatedAt)
	}
	b = binary.AppendUvarint(b, uint64(len(k.Limits)))
	for _, l := range k.Limits {
		b = appendString(b, l.Name)
		b = binary.AppendUvarint(b, uint64(l.N))
		b = binary.AppendUvarint(b, uint64(l.Per))
		b = binary.AppendUvarint(b, uint64(l.Burst))
		b = appendTime(b, l.Until)
	}
	return append(b, d.extra...)
}

// check is what the stored form needs to be read back equal.
func (d *document) check() error {
	k := &d.key
	var f faults
	if !validID(k.ID) {
		f.add("ID", "must be %d to %d base62 characters", minIDLen, maxIDLen)
	}
	if !validOwner(k.Owner) {
		f.add("Owner", "must be 1 to %d bytes of UTF-8 without control characters", maxOwner)
	}
	if k.Version < 1 {
		f.add("Version", "must be 1 or more")
	}
	if len(k.Alias) > maxAlias {
		f.add("Alias", "must be at most %d bytes", maxAlias)
	}
	for i, n := range k.Networks {
		if !n.IsValid() || len(k.Networks) > maxNetworks {
			f.add(fmt.Sprintf("Networks[%d]", i), "must be a network, one of at most %d", maxNetworks)
			break
		}
	}
	if len(k.Secrets) < 1 || len(k.Secrets) > maxSecrets || len(d.digests) != len(k.Secrets) {
		f.add("Secrets", "must be one or two, each with a digest")
		return f.err()
	}
	for i, g := range d.digests {
		if !g.storable() {
			f.add(fmt.Sprintf("Secrets[%d]", i), "has no digest")
		}
	}
	times := []time.Time{k.RevokedAt, k.HeldAt, k.DisabledAt, k.ExpiresAt, k.NotBefore, k.CreatedAt}
	for _, s := range k.Secrets {
		times = append(times, s.NotAfter, s.EndedAt, s.CreatedAt)
	}
	for i := range k.Limits {
		if l := &k.Limits[i]; l.N < 0 || l.Per < 0 || l.Burst < 0 {
			f.add(fmt.Sprintf("Limits[%d]", i), "must not be negative")
		}
		times = append(times, k.Limits[i].Until)
	}
	for _, t := range times {
		if !validTime(t) {
			f.add("times", "must be between 1970 and 9999, in whole microseconds")
			break
		}
	}
	return f.err()
}

// storable reports whether a stored form has room for d. Whether a foreign one
// can be checked is asked when it is.
func (d Digest) storable() bool {
	switch d.kind {
	case kindSHA256, kindHMAC:
		return d.sum != nil && len(d.sum()) == sha256.Size
	case kindForeign, kindForeignSecret:
		return d.sum != nil && len(d.sum()) <= maxForeignText
	}
	return false
}

const maxForeignText = 512

const (
	maxAlias = 512
	maxOwner = 255
	maxMicro = 253402300800_000000 // the year 10000
)

func validTime(t time.Time) bool {
	if t.IsZero() {
		return true
	}
	s := t.Unix()
	return s >= 0 && s < maxMicro/1e6 && t.UnixMicro() > 0 && t.Nanosecond()%1000 == 0
}

func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(b, 0)
	}
	return binary.AppendUvarint(b, uint64(t.UnixMicro()))
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// decode takes a stored record apart. Its strings share enc.
func decode(enc string) (document, error) {
	if len(enc) < headerLen || enc[0] < 1 || enc[1] < 1 || enc[1] > enc[0] {
		return document{}, ErrBadRecord
	}
	if enc[1] > recordForm {
		return document{}, ErrNewerRecord
	}
	d := document{form: enc[0], oldest: enc[1]}
	k := &d.key
	p := reader{s: enc, i: headerLen}
	k.RevokedAt, k.HeldAt, k.DisabledAt, k.ExpiresAt, k.NotBefore = p.time(), p.time(), p.time(), p.time(), p.time()
	n := p.count(maxSecrets)
	k.Secrets, d.digests = make([]Secret, n), make([]Digest, n)
	for i := range k.Secrets {
		k.Secrets[i].N = p.uint32()
		d.digests[i] = p.digest()
		k.Secrets[i].NotAfter, k.Secrets[i].EndedAt = p.time(), p.time()
	}
	if n := p.count(maxNetworks); n > 0 {
		k.Networks = make([]netip.Prefix, n)
	}
	for i := range k.Networks {
		ok := false
		k.Networks[i], ok = p.network()
		p.bad = p.bad || !ok
	}
	k.Alias = p.str()
	if p.i != int(enc[2])<<8|int(enc[3]) {
		return document{}, ErrBadRecord
	}
	p.public(&d)
	if p.bad || d.check() != nil {
		return document{}, ErrBadRecord
	}
	return d, nil
}

// public reads the public part of a record into d, whose secrets are counted.
func (p *reader) public(d *document) {
	k := &d.key
	k.ID, k.Owner, k.Version, k.Environment = p.str(), p.str(), int64(p.uint()), p.str()
	if n := p.count(len(p.s)); n > 0 {
		k.Permissions = make(Permissions, n)
	}
	for i := range k.Permissions {
		k.Permissions[i] = Permission(p.str())
	}
	k.Name = p.str()
	if n := p.count(len(p.s)); n > 0 {
		k.Metadata = make(map[string]string, n)
		for last, i := "", 0; i < n; i++ {
			name := p.str()
			p.bad = p.bad || i > 0 && name <= last
			k.Metadata[name], last = p.str(), name
		}
	}
	k.Description, k.CreatedBy, k.CreatedAt = p.str(), p.str(), p.time()
	for i := range k.Secrets {
		k.Secrets[i].Prefix, k.Secrets[i].Scheme, k.Secrets[i].CreatedAt = p.str(), p.str(), p.time()
	}
	k.Limits = p.limits()
	if !p.bad {
		d.extra = p.s[p.i:]
	}
}

// network reads the bytes of an address, which is never IPv4 mapped into IPv6,
// and the number of its bits.
func (p *reader) network() (netip.Prefix, bool) {
	s := p.str()
	if s == "" {
		return netip.Prefix{}, false
	}
	a, ok := netip.AddrFromSlice([]byte(s[:len(s)-1]))
	n := netip.PrefixFrom(a, int(s[len(s)-1]))
	return n, ok && n.IsValid() && !a.Is4In6()
}

func (p *reader) limits() []LimitOverride {
	n := p.count(len(p.s))
	if n == 0 {
		return nil
	}
	limits := make([]LimitOverride, n)
	for i := range limits {
		limits[i] = LimitOverride{Limit: Limit{Name: p.str(), N: int(p.uint()), Per: time.Duration(p.uint()), Burst: int(p.uint())}, Until: p.time()}
	}
	return limits
}

// limitsOf is the limits in a public part, of a key with so many secrets.
func limitsOf(pub string, secrets int) []LimitOverride {
	p := reader{s: pub}
	p.skip(2) // ID, Owner
	p.uint()  // Version
	p.skip(1) // Environment
	p.skip(p.count(len(p.s)))
	p.skip(1) // Name
	p.skip(2 * p.count(len(p.s)))
	p.skip(2) // Description, CreatedBy
	p.uint()  // CreatedAt
	for range secrets {
		p.skip(2) // Prefix, Scheme
		p.uint()  // CreatedAt
	}
	return p.limits()
}

// public is the public part of a record that was accepted.
func public(enc string) string { return enc[int(enc[2])<<8|int(enc[3]):] }

// keyID is the ID in a public part.
func keyID(pub string) string { return pub[1 : 1+int(pub[0])] } // at most 32: one byte of length

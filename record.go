package apikey

import (
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"
)

// Record is what stores keep of a key, its digests included: opaque,
// immutable, safe to share between goroutines and with the Manager. A Store
// keeps [Record.Bytes]; columns beside it are indexes, never a second truth.
// It prints masked and must not be copied by value.
type Record struct {
	enc *string // the stored form; behind a pointer to a string, which no fmt verb follows
	use atomic.Pointer[use]
}

// recordBox is one allocation for a Record and the string that it points to.
type recordBox struct {
	rec Record
	enc string
}

func newRecord(enc string) *Record {
	b := &recordBox{enc: enc}
	b.rec.enc = &b.enc
	return &b.rec
}

// NewRecord makes the record of k, with one digest for each of k.Secrets. It
// is for tests of a [Store] and for tools that restore keys: it checks what
// the stored form needs, not what a Keyring asks of a key. k.Usage is left out.
func NewRecord(k *Key, digests ...Digest) (*Record, error) {
	d := document{key: *k.clone(), digests: digests, form: recordForm, oldest: recordForm}
	return d.record()
}

// ParseRecord reads what [Record.Bytes] gave. It copies b. What is no record
// is [ErrBadRecord]; a form that this version of the package may not read is
// [ErrNewerRecord].
func ParseRecord(b []byte) (*Record, error) {
	enc := string(b)
	if _, err := decode(enc); err != nil {
		return nil, err
	}
	return newRecord(enc), nil
}

// Bytes is the stored form, a copy. The first byte is its version, the second
// the oldest version of a reader that may use it.
func (r *Record) Bytes() []byte { return []byte(*r.enc) }

// ID is the key's ID.
func (r *Record) ID() string { return keyID(public(*r.enc)) }

// Owner is whose key it is.
func (r *Record) Owner() string {
	p := reader{s: public(*r.enc)}
	p.str()
	return p.str()
}

// Version is 1 for a new key and goes up by one with every change.
func (r *Record) Version() int64 {
	p := reader{s: public(*r.enc)}
	p.str()
	p.str()
	return int64(p.uint())
}

// CreatedAt is when the key was made. With ID it is what lists are ordered by.
func (r *Record) CreatedAt() time.Time {
	p := reader{s: public(*r.enc)}
	p.str()  // ID
	p.str()  // Owner
	p.uint() // Version
	p.str()  // Environment
	for range p.uint() {
		p.str() // a permission
	}
	p.str() // Name
	for range p.uint() {
		p.str() // a name of metadata
		p.str() // its value
	}
	p.str() // Description
	p.str() // CreatedBy
	return p.time()
}

// Live reports whether the key counts against its owner's cap at now, as
// [Key.Live] does, without allocating.
func (r *Record) Live(now time.Time) bool {
	p := reader{s: *r.enc, i: headerLen}
	revoked := p.uint() != 0
	p.uint() // HeldAt
	p.uint() // DisabledAt
	expires := int64(p.uint())
	return !revoked && (expires == 0 || now.UnixMicro() < expires)
}

// Alias is the other name by which [Store.Get] finds the key; "": none.
func (r *Record) Alias() string {
	p := reader{s: *r.enc, i: headerLen}
	for range 5 { // RevokedAt to NotBefore
		p.uint()
	}
	for range p.count(maxSecrets) {
		for range 3 { // N, kind, pepper version
			p.uint()
		}
		p.skip(1) // digest
		p.uint()  // NotAfter
		p.uint()  // EndedAt
	}
	p.skip(p.count(maxNetworks))
	return p.str()
}

// is reports whether ref, an ID or an alias, names r's key.
func (r *Record) is(ref string) bool {
	return r.ID() == ref || strings.HasPrefix(ref, "~") && r.Alias() == ref
}

// Key is a copy of everything but digests and usage, to read columns from.
func (r *Record) Key() *Key {
	d := r.decode()
	return &d.key
}

// decode reads a record that ParseRecord or NewRecord accepted.
func (r *Record) decode() document {
	d, err := decode(*r.enc)
	if err != nil {
		panic(fmt.Sprintf("apikey: a Record that was not made by this package: %v", err))
	}
	return d
}

func (r *Record) String() string               { return "apikey.Record(" + r.ID() + ", masked)" }
func (r *Record) Format(s fmt.State, _ rune)   { _, _ = io.WriteString(s, r.String()) }
func (r *Record) LogValue() slog.Value         { return slog.StringValue(r.String()) }
func (r *Record) MarshalText() ([]byte, error) { return []byte(r.String()), nil }
func (r *Record) GobEncode() ([]byte, error)   { return []byte(r.String()), nil }

// vitals is what deciding over a request needs of a record, read without
// allocating.
type vitals struct {
	revoked, held, disabled bool
	expiresAt, notBefore    int64 // µs since 1970; 0: none
	secrets                 [maxSecrets]secretVitals
	n                       int    // how many of them there are
	networks                string // the list of them; "": none
	pub                     string // the public part
}

type secretVitals struct {
	n        uint32
	kind     digestKind
	pepper   uint32
	sum      string
	notAfter int64 // µs since 1970; 0: none
	ended    bool
}

// live reports whether the secret admits a request at now.
func (s *secretVitals) live(now int64) bool {
	return !s.ended && (s.notAfter == 0 || now < s.notAfter)
}

func (r *Record) vitals(v *vitals) {
	enc := *r.enc
	v.pub = public(enc)
	p := reader{s: enc, i: headerLen}
	if enc[headerLen:headerLen+6] == "\x00\x00\x00\x00\x00\x01" { // no time is set, and there is one secret: nearly every key
		p.i += 6
		v.n = 1
	} else {
		v.revoked = p.uint() != 0
		v.held = p.uint() != 0
		v.disabled = p.uint() != 0
		v.expiresAt = int64(p.uint())
		v.notBefore = int64(p.uint())
		v.n = int(p.uint())
	}
	for i := range min(v.n, maxSecrets) {
		s := &v.secrets[i]
		s.n = uint32(p.uint())
		s.kind = digestKind(p.uint())
		s.pepper = uint32(p.uint())
		s.sum = p.str()
		s.notAfter = int64(p.uint())
		s.ended = p.uint() != 0
	}
	if i := p.i; p.uint() != 0 {
		v.networks = enc[i:]
	}
}

// admits reports whether one of the networks, as they are stored, has the peer.
func admits(networks string, peer netip.Addr) bool {
	p := reader{s: networks}
	for range p.count(maxNetworks) {
		if n, ok := p.network(); ok && n.Contains(peer.Unmap()) {
			return true
		}
	}
	return false
}

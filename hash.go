package apikey

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"sync"
)

// Digest is what is stored of a token: SHA-256 of all of it, or HMAC-SHA-256
// under a [Pepper]. A native token has at least 112 random bits, so a fast hash
// is enough: there is nothing to guess (OWASP ASVS 5.0, 6.5.2). An imported key
// may have one that another system made, until its token is next used. Its
// bytes are in [Record.Bytes] and nowhere else; it prints masked.
type Digest struct {
	kind   digestKind
	pepper uint32 // version; 0 without
	sum    func() string
}

type digestKind uint8

// Values are stored: never change one.
const (
	kindSHA256        digestKind = 1
	kindHMAC          digestKind = 2
	kindForeign       digestKind = 3 // another system's, of the whole token
	kindForeignSecret digestKind = 4 // another system's, of the part behind the locator
)

// SumToken is the SHA-256 digest of a whole token, for tests of a [Store] and
// for tools that restore keys. A Manager makes its own.
func SumToken(token string) Digest {
	sum := sha256.Sum256([]byte(token))
	return newDigest(kindSHA256, 0, string(sum[:]))
}

func newDigest(kind digestKind, pepper uint32, sum string) Digest {
	return Digest{kind: kind, pepper: pepper, sum: func() string { return sum }}
}

// IsZero reports whether d is the zero Digest.
func (d Digest) IsZero() bool { return d.sum == nil }

const maskedDigest = "apikey.Digest(masked)"

func (d Digest) String() string               { return maskedDigest }
func (d Digest) Format(s fmt.State, _ rune)   { _, _ = io.WriteString(s, maskedDigest) }
func (d Digest) LogValue() slog.Value         { return slog.StringValue(maskedDigest) }
func (d Digest) MarshalText() ([]byte, error) { return []byte(maskedDigest), nil }
func (d Digest) GobEncode() ([]byte, error)   { return []byte(maskedDigest), nil }

// Pepper is a key for HMAC-SHA-256 that is not in the database, so that a copy
// of the database alone cannot even confirm a token. It prints masked.
//
// The first of Config.Peppers makes new digests; digests of the others, and
// plain SHA-256, still verify and are replaced at the next good use of their
// token. Take an old pepper out once no key has been verified by it any more;
// from then on tokens that still have its digest are answered 503.
//
// A node answers the same for every digest that another node made under a
// pepper which it lacks. So where several nodes share a Store, put a new pepper
// behind the present one on each of them, and first when the last one has it.
// The very first pepper cannot be behind another: stop the nodes that lack it
// before one that has it takes requests.
type Pepper struct {
	version uint32
	key     func() []byte
}

const minPepper = sha256.Size

// NewPepper makes a Pepper from at least 32 bytes of key (RFC 2104, 3: no
// shorter than the hash). The version says which pepper made a digest: 1 to
// 2³²-1, never used again for another key. The bytes are copied.
func NewPepper(version uint32, key []byte) (Pepper, error) {
	if version == 0 {
		return Pepper{}, fmt.Errorf("%w: a pepper's version is 1 or more", ErrInvalid)
	}
	if len(key) < minPepper {
		return Pepper{}, fmt.Errorf("%w: a pepper has at least %d bytes", ErrInvalid, minPepper)
	}
	return InsecureShortPepper(version, key)
}

// InsecureShortPepper is NewPepper of a key that may be shorter than 32 bytes:
// for the Scheme.HMAC of a system that chose such a key. It is refused in
// Config.Peppers.
func InsecureShortPepper(version uint32, key []byte) (Pepper, error) {
	if version == 0 || len(key) == 0 {
		return Pepper{}, fmt.Errorf("%w: a pepper's version is 1 or more, and its key has at least 1 byte", ErrInvalid)
	}
	k := append([]byte(nil), key...)
	return Pepper{version: version, key: func() []byte { return k }}, nil
}

// Version is what NewPepper was given.
func (p Pepper) Version() uint32 { return p.version }

func (p Pepper) String() string               { return fmt.Sprintf("apikey.Pepper(version %d, masked)", p.version) }
func (p Pepper) Format(s fmt.State, _ rune)   { _, _ = io.WriteString(s, p.String()) }
func (p Pepper) LogValue() slog.Value         { return slog.StringValue(p.String()) }
func (p Pepper) MarshalText() ([]byte, error) { return []byte(p.String()), nil }
func (p Pepper) GobEncode() ([]byte, error)   { return []byte(p.String()), nil }

// hasher makes and checks digests with a Manager's peppers.
type hasher struct {
	newest uint32 // version of the pepper that makes digests; 0: SHA-256
	macs   map[uint32]*sync.Pool
}

// macState is a keyed HMAC and room for what goes through it.
type macState struct {
	mac hash.Hash
	buf [maxTokenBytes + sha256.Size]byte
}

func newHasher(peppers []Pepper) *hasher {
	h := &hasher{macs: make(map[uint32]*sync.Pool, len(peppers))}
	for i, p := range peppers {
		if i == 0 {
			h.newest = p.version
		}
		h.macs[p.version] = &sync.Pool{New: func() any { return &macState{mac: hmac.New(sha256.New, p.key())} }}
	}
	return h
}

// sum is the digest of a token of at most maxTokenBytes; false if the pepper
// is not configured. Of a native token it does not allocate.
func (h *hasher) sum(kind digestKind, pepper uint32, token string) (sum [sha256.Size]byte, ok bool) {
	switch kind {
	case kindSHA256:
		if len(token) > maxNativeLen {
			return sha256.Sum256([]byte(token)), true
		}
		var buf [maxNativeLen]byte // on the stack: converting the string would allocate
		return sha256.Sum256(buf[:copy(buf[:], token)]), true
	case kindHMAC:
		pool := h.macs[pepper]
		if pool == nil {
			return sum, false
		}
		s := pool.Get().(*macState)
		s.mac.Reset()
		n := copy(s.buf[:], token)
		_, _ = s.mac.Write(s.buf[:n]) // never fails: hash.Hash
		copy(sum[:], s.mac.Sum(s.buf[:0]))
		clear(s.buf[:max(n, sha256.Size)])
		pool.Put(s)
		return sum, true
	}
	return sum, false
}

// digest is the digest of a new token.
func (h *hasher) digest(token string) Digest {
	sum, _ := h.sum(h.kind(), h.newest, token)
	return newDigest(h.kind(), h.newest, string(sum[:]))
}

// kind is that of new digests.
func (h *hasher) kind() digestKind {
	if h.newest != 0 {
		return kindHMAC
	}
	return kindSHA256
}

// current reports whether a digest is of the kind that new ones are.
func (h *hasher) current(kind digestKind, pepper uint32) bool {
	return pepper == h.newest && kind == h.kind()
}

// equal compares in constant time. The stored digest has a fixed length, which
// ParseRecord checked; the conversion stays on the stack.
func equal(sum *[sha256.Size]byte, stored string) bool {
	return subtle.ConstantTimeCompare(sum[:], []byte(stored)) == 1
}

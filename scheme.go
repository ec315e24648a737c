package apikey

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Scheme is the tokens of another system, of keys that were imported from it
// ([Keyring.Import]). It says what they look like and what of them that system
// hashed; how it hashed is said by each [Digest].
//
// A token is found by a locator, under the alias "~Name:locator": the part
// before the Separator, or what Split says. A token that has none is opaque: it
// is found by 128 bits that follow from its SHA-256 digest, which must be of all
// of it. So the database confirms such a token to who has it, also where there
// is a Pepper; of a random one nothing can be learnt.
//
// No two shapes may overlap, neither of Schemes nor of a Scheme and a Format: a
// shape is a Prefix and lengths, and two Separators tell shapes apart too.
type Scheme struct {
	Name   string // part of each key's alias: 1 to 32 of a-z 0-9 _ -; never change it
	Prefix string // what every token begins with: up to 64 letters, digits, _ and -; may be ""
	MinLen int    // bytes of the shortest token, Prefix and all; at least 16
	MaxLen int    // of the longest, at most 512; 0: MinLen

	// Separator stands behind the locator, as in "42|secret", "abc.secret" or
	// "id:secret". It is none of letters, digits, _ and -, of which locators
	// are, and stands in a secret only if it is in Bytes too. 0: there is none.
	Separator byte
	// Number says that locators are decimal numbers, without a sign or leading
	// zeros, so that each has one spelling.
	Number bool
	// Split finds locator and secret in tokens that a Separator does not
	// describe. Behind the Prefix stand the two, in either order, and between
	// them what is neither letter nor digit; where two of those would do, take
	// one, so that a token has one spelling. It is called for tokens of the
	// right Prefix, length and Bytes only, and must be safe for concurrent use.
	// nil: by Separator.
	Split func(token string) (locator, secret string, ok bool)
	// Bytes are those that tokens have beside letters, digits, _, - and the
	// Separator: printable ASCII but for space, comma and double quote. A
	// header may carry what no token68 (RFC 9110, 11.2) has only if it is here.
	Bytes string

	Environment  string // of its keys; a Format of it must be issued, for IDs and rotated tokens
	HashesSecret bool   // digests are of the part behind the locator alone, as Laravel Sanctum's are
	HMAC         Pepper // not zero: digests that look like SHA-256 are HMAC-SHA-256 under this key. Its Version does not matter
	Slow         bool   // digests may be of bcrypt, argon2id, scrypt or PBKDF2: see [ParseDigest] for what that means for requests, and set Config.FailedAttempts with it. Keys that have such a digest are answered 503 without it
	SecretBits   int    // how many random bits each token is known to hold; 0: not known. Slow digests of at least 112 are replaced by a fast one at the first good use; those of fewer only by one under a pepper
	SharesFormat bool   // its tokens have the very shape of a Format, and the checksum decides: right is native, wrong is of this Scheme

	_ [0]func() // fields are named in literals
}

const (
	minForeignLen   = 16
	maxSchemePrefix = 64
	maxLocator      = 128
	enoughBits      = 112 // OWASP ASVS 5.0, 6.5.2: from here on a fast hash will do
)

// check adds to fs what is wrong with s, whose MaxLen is filled in, among the
// formats and the schemes before it.
func (s *Scheme) check(fs *faults, field string, formats []Format, before []Scheme) {
	if !validName(s.Name) || len(s.Name) > 32 {
		fs.add(field+".Name", "must be 1 to 32 characters of a-z 0-9 _ -")
	}
	if len(s.Prefix) > maxSchemePrefix || !plainBytes(s.Prefix) {
		fs.add(field+".Prefix", "must be up to %d letters, digits, _ and -", maxSchemePrefix)
	}
	if s.MinLen < max(minForeignLen, len(s.Prefix)+1) || s.MinLen > s.MaxLen || s.MaxLen > maxTokenBytes {
		fs.add(field+".MinLen", "must be at least %d and above the Prefix's, and MaxLen 0 or MinLen to %d", minForeignLen, maxTokenBytes)
	}
	if s.Separator != 0 && (!foreignByte(s.Separator) || plainByte(s.Separator)) || s.Separator != 0 && s.Split != nil {
		fs.add(field+".Separator", "must be printable ASCII other than letters, digits, _ - , \" and space, and 0 with Split")
	}
	if s.Number && s.Separator == 0 {
		fs.add(field+".Number", "needs a Separator")
	}
	for i := range len(s.Bytes) {
		if !foreignByte(s.Bytes[i]) {
			fs.add(field+".Bytes", "must be printable ASCII other than comma, double quote and space")
			break
		}
	}
	if s.HashesSecret && s.opaque() {
		fs.add(field+".HashesSecret", "needs a locator: an opaque token is found by the digest of all of it")
	}
	if s.HMAC.key != nil && s.opaque() {
		fs.add(field+".HMAC", "needs a locator: an opaque token is found by its SHA-256 digest")
	}
	if s.Slow && s.opaque() {
		fs.add(field+".Slow", "needs a locator: an opaque token is found by its SHA-256 digest")
	}
	if s.SecretBits < 0 || s.SecretBits > 8*maxTokenBytes {
		fs.add(field+".SecretBits", "must be 0 to %d", 8*maxTokenBytes)
	}
	s.checkFormats(fs, field, formats)
	for i := range before {
		if before[i].Name == s.Name {
			fs.add(field+".Name", "is that of Schemes[%d] too", i)
		}
		if s.overlaps(&before[i]) {
			fs.add(field, "overlaps with Schemes[%d]: both take tokens of one prefix and length", i)
		}
	}
}

// checkFormats checks s beside the formats.
func (s *Scheme) checkFormats(fs *faults, field string, formats []Format) {
	issued, shares := false, false
	for i := range formats {
		f := &formats[i]
		issued = issued || !f.NoIssue && f.Environment == s.Environment
		same := s.Prefix == f.Prefix && s.MinLen == f.tokenLen() && s.MaxLen == s.MinLen && s.Separator == 0
		shares = shares || same && s.Environment == f.Environment
		overlaps := s.Separator == 0 && s.MinLen <= f.tokenLen() && f.tokenLen() <= s.MaxLen &&
			(strings.HasPrefix(s.Prefix, f.Prefix) || strings.HasPrefix(f.Prefix, s.Prefix))
		if overlaps && !(same && s.SharesFormat) {
			fs.add(field, "overlaps with Formats[%d]: both take tokens of one prefix and length; see SharesFormat", i)
		}
	}
	if !issued {
		fs.add(field+".Environment", "must be that of a Format that is issued")
	}
	if s.SharesFormat && !shares {
		fs.add(field+".SharesFormat", "is set, and no Format has just this Prefix, length and Environment")
	}
}

// overlaps reports whether a string could be a token of both.
func (s *Scheme) overlaps(o *Scheme) bool {
	if !strings.HasPrefix(s.Prefix, o.Prefix) && !strings.HasPrefix(o.Prefix, s.Prefix) || s.MaxLen < o.MinLen || o.MaxLen < s.MinLen {
		return false
	}
	if s.Split != nil || o.Split != nil || s.Separator == o.Separator {
		return true
	}
	// The first byte that is no letter, digit, _ or - is the Separator, if there
	// is one: another scheme's tokens must have it too.
	if s.Separator == 0 {
		s, o = o, s
	}
	return o.Separator == 0 && strings.IndexByte(o.Bytes, s.Separator) >= 0
}

func (s *Scheme) opaque() bool { return s.Separator == 0 && s.Split == nil }

// has reports whether token has the shape of s.
func (s *Scheme) has(token string) bool {
	if len(token) < s.MinLen || len(token) > s.MaxLen || !strings.HasPrefix(token, s.Prefix) {
		return false
	}
	if s.Separator == 0 {
		return s.isText(token)
	}
	locator, secret, ok := strings.Cut(token[len(s.Prefix):], string(rune(s.Separator)))
	return ok && secret != "" && s.isLocator(locator) && s.isText(secret)
}

// isText reports whether t is of the bytes that tokens of s have.
func (s *Scheme) isText(t string) bool {
	for i := range len(t) {
		if c := t[i]; !plainByte(c) && strings.IndexByte(s.Bytes, c) < 0 {
			return false
		}
	}
	return true
}

// isLocator reports whether a locator is in its one spelling.
func (s *Scheme) isLocator(l string) bool {
	switch {
	case l == "" || len(l) > maxLocator:
		return false
	case s.Number:
		return strings.Trim(l, "0123456789") == "" && (l[0] != '0' || l == "0")
	case s.Separator != 0:
		return plainBytes(l)
	}
	return strings.IndexFunc(l, func(r rune) bool { return r > '~' || !foreignByte(byte(r)) }) < 0
}

// foreignToken is a token of another system, taken apart.
type foreignToken struct {
	scheme *Scheme
	alias  string // under which its key is found
	token  string
	secret string // the part of it behind the locator
}

// foreign takes a token of one of the schemes apart; nil: it is of none. The
// error is a host's Split that panicked or said what cannot be.
func (m *Manager) foreign(token string) (*foreignToken, error) {
	if len(m.schemes) == 0 || len(token) > maxTokenBytes {
		return nil, nil
	}
	for i := range m.schemes {
		if s := &m.schemes[i]; s.has(token) {
			locator, secret, err := m.split(s, token)
			if err != nil || locator == "" && !s.opaque() {
				return nil, err
			}
			if s.opaque() {
				sum := sha256.Sum256([]byte(token))
				locator = opaqueLocator(sum[:])
			}
			return &foreignToken{scheme: s, alias: s.alias(locator), token: token, secret: secret}, nil
		}
	}
	return nil, nil
}

// split finds locator and secret in a token that s has; no locator: there is
// none, or Split wants none of this token.
func (m *Manager) split(s *Scheme, token string) (locator, secret string, err error) {
	rest := token[len(s.Prefix):]
	switch {
	case s.opaque():
		return "", rest, nil
	case s.Split == nil:
		locator, secret, _ = strings.Cut(rest, string(rune(s.Separator)))
		return locator, secret, nil
	}
	ok := false
	err = m.protect(func() error {
		locator, secret, ok = s.Split(token)
		return nil
	})
	switch {
	case err != nil:
		return "", "", unavailable("scheme", errors.New("the Split of "+s.Name+" panicked")) // with what, may have the token in it
	case !ok || locator == "" || secret == "":
		return "", "", nil
	case !s.isLocator(locator) || !madeOf(rest, locator, secret) && !madeOf(rest, secret, locator):
		return "", "", unavailable("scheme", fmt.Errorf("the Split of %s gave a locator and a secret that do not make up the token", s.Name))
	}
	return locator, secret, nil
}

// madeOf reports whether s is one part, the other, and between them neither
// letter nor digit: else two spellings, such as "042|t" and "42|t", might be one
// key's, and nobody could tell which was imported.
func madeOf(s, one, other string) bool {
	return len(s) >= len(one)+len(other) && strings.HasPrefix(s, one) && strings.HasSuffix(s, other) &&
		!strings.ContainsAny(s[len(one):len(s)-len(other)], base62)
}

// alias is the other name of the key whose token has this locator.
func (s *Scheme) alias(locator string) string { return "~" + s.Name + ":" + locator }

// opaqueLocator is 128 bits of the SHA-256 of a SHA-256 digest: enough to find a
// key by, and no part of the digest, as an alias is a field of Key.
func opaqueLocator(sum []byte) string {
	again := sha256.Sum256(sum)
	return hex.EncodeToString(again[:16])
}

// plainByte is a byte of any token and of every locator.
func plainByte(c byte) bool { return digits[c] != notBase62 || c == '_' || c == '-' }

func plainBytes(s string) bool {
	for i := range len(s) {
		if !plainByte(s[i]) {
			return false
		}
	}
	return true
}

// foreignByte is one that a header can carry and nothing else reads as a mark.
func foreignByte(c byte) bool { return c > ' ' && c <= '~' && c != ',' && c != '"' }

// schemeDigest is d as a key of s stores it, or what is wrong with it.
func (s *Scheme) schemeDigest(d Digest) (_ Digest, wrong string) {
	plain := d.kind == kindSHA256
	switch {
	case d.IsZero():
		return d, "must be given where the Token is not"
	case d.kind == kindHMAC:
		return d, "must be made by ParseDigest or ParseSaltedDigest"
	case s.opaque() && !plain:
		return d, "must be SHA-256 of the whole token, by which an opaque one is found"
	case s.HMAC.key != nil && !plain:
		return d, "must be 32 bytes of HMAC-SHA-256, in hex or base64"
	}
	fd := foreignDigest{alg: algSHA256, sum: []byte(d.sum())}
	if !plain {
		var err error
		if fd, err = parseForeign(d.sum()); err != nil {
			return d, "must be made by ParseDigest or ParseSaltedDigest"
		}
	}
	if fd.slow() && !s.Slow {
		return d, "is of a slow hash: set Slow in its Scheme"
	}
	switch {
	case s.HMAC.key != nil:
		fd.alg = algHMAC
	case plain && !s.HashesSecret:
		return d, ""
	}
	kind := kindForeign
	if s.HashesSecret {
		kind = kindForeignSecret
	}
	return newDigest(kind, 0, fd.encode()), ""
}

// proveForeign reports whether the token is of a foreign digest.
func (m *Manager) proveForeign(v *vitals, s *secretVitals, f *foreignToken) (bool, error) {
	d, err := parseForeign(s.sum)
	if err != nil {
		return false, unavailable("digest", err)
	}
	var key []byte
	if d.alg == algHMAC {
		if f.scheme.HMAC.key == nil {
			return false, unavailable("pepper", fmt.Errorf("the Scheme %s has no HMAC any more, which a stored digest needs", f.scheme.Name))
		}
		key = f.scheme.HMAC.key()
	}
	hashed := f.token
	if s.kind == kindForeignSecret {
		hashed = f.secret
	}
	if d.slow() {
		if !f.scheme.Slow {
			return false, unavailable("digest", fmt.Errorf("it is of a slow hash, and the Scheme %s is not Slow", f.scheme.Name))
		}
		id := keyID(v.pub)
		if !m.slow.enter(id, d.lanes()) {
			return false, errSlowGate
		}
		defer m.slow.leave(id)
	}
	ok, err := d.matches([]byte(hashed), key)
	if err != nil {
		return false, unavailable("digest", err)
	}
	return ok, nil
}

var errSlowGate = &UnavailableError{
	Op:         "hash",
	Err:        errors.New("as many slow hashes are being computed as may be at once"),
	RetryAfter: time.Second,
}

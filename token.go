package apikey

import (
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
)

// Token is the string that a client sends. It exists in full once, when it is
// issued; what prints or encodes a Token gives its masked form. Tokens cannot
// be compared with ==.
type Token struct {
	reveal func() string // a func, because no printer, encoder or debugger's dump looks into one
	masked string
}

// Reveal is the token itself: give it to its holder, and keep it nowhere.
// Of the zero Token it is "".
func (t Token) Reveal() string {
	if t.reveal == nil {
		return ""
	}
	return t.reveal()
}

// String is the masked form: prefix and the first eight characters of the
// key's ID, which are no secret, and "…".
func (t Token) String() string { return t.masked }

// Format prints the masked form, whatever the verb.
func (t Token) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, t.masked) }

// LogValue is the masked form.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.masked) }

// MarshalText is the masked form: a token never travels inside a structure.
func (t Token) MarshalText() ([]byte, error) { return []byte(t.masked), nil }

// GobEncode is the masked form.
func (t Token) GobEncode() ([]byte, error) { return []byte(t.masked), nil }

// Issued is a new key, or a key with a new secret, and the one chance to see
// its token.
type Issued struct {
	Key   *Key
	Token Token
}

// Format is the shape of one kind of token:
//
//	prefix + ID + secret + checksum(6)
//
// all but the prefix in base62, 0-9A-Za-z. The checksum is the CRC-32 (IEEE)
// of everything before it, prefix included, in base62, left-padded with zeros.
// With the default lengths and a prefix of at most 10 a token is at most 55
// bytes, which SHA-256 takes in one block (FIPS 180-4, 5.1.1).
type Format struct {
	Prefix      string // "rd_sk_": 2 to 20 of a-z 0-9 _, begins with a letter, ends in _; no two formats have the same
	Environment string // of every key issued in it; "" is one. Up to 64 of a-z 0-9 _ -
	IDLen       int    // base62 characters of the key's ID in the token: 7 to 32; 0: 12. With 7 the chance that any two of 2 million keys draw the same ID is nearly one half; Create then tries again
	SecretLen   int    // base62 characters of secret: 19 (112 bits, OWASP ASVS 5.0 6.5.2) to 64; 0: 27 (160 bits)
	NoIssue     bool   // accepted, no longer issued
}

const (
	checksumLen   = 6
	minIDLen      = 7
	maxIDLen      = 32
	minSecretLen  = 19
	maxSecretLen  = 64
	maxPrefixLen  = 20
	maxNativeLen  = maxPrefixLen + maxIDLen + maxSecretLen + checksumLen
	base62        = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	notBase62     = 0xff
	maxTokenBytes = 512 // of any credential, before it is looked at
)

// Regexp is a regular expression, for RE2 and PCRE alike, that matches every
// token of this format, wherever it stands in a text. It has no anchors and no
// word boundaries, so that a token glued to other text is found too; what it
// matches by chance fails the checksum ([Manager.Lookup]).
func (f Format) Regexp() string {
	f = f.withDefaults()
	return f.Prefix + "[0-9A-Za-z]{" + strconv.Itoa(f.IDLen+f.SecretLen+checksumLen) + "}"
}

func (f Format) withDefaults() Format {
	if f.IDLen == 0 {
		f.IDLen = 12
	}
	if f.SecretLen == 0 {
		f.SecretLen = 27
	}
	return f
}

// tokenLen is how many bytes a token has; f's defaults are filled in.
func (f *Format) tokenLen() int { return len(f.Prefix) + f.IDLen + f.SecretLen + checksumLen }

// check adds to fs what is wrong with f, whose defaults are filled in.
func (f *Format) check(fs *faults, field string) {
	if !validPrefix(f.Prefix) {
		fs.add(field+".Prefix", "must be 2 to %d characters of a-z 0-9 _, begin with a letter and end in _", maxPrefixLen)
	}
	if f.Environment != "" && !validName(f.Environment) {
		fs.add(field+".Environment", "must be up to 64 characters of a-z 0-9 _ -")
	}
	if f.IDLen < minIDLen || f.IDLen > maxIDLen {
		fs.add(field+".IDLen", "must be 0 (12) or %d to %d", minIDLen, maxIDLen)
	}
	if f.SecretLen < minSecretLen || f.SecretLen > maxSecretLen {
		fs.add(field+".SecretLen", "must be 0 (27) or %d (112 bits) to %d", minSecretLen, maxSecretLen)
	}
}

func validPrefix(p string) bool {
	if len(p) < 2 || len(p) > maxPrefixLen || p[0] < 'a' || p[0] > 'z' || p[len(p)-1] != '_' {
		return false
	}
	return strings.Trim(p, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

// issue makes a token. With id "" the ID is new and random.
func (f *Format) issue(id string) (tok Token, newID string) {
	if id == "" {
		id = randomBase62(f.IDLen)
	}
	body := f.Prefix + id + randomBase62(f.SecretLen)
	return f.token(body+checksum(body), id), id
}

// token wraps a string that f parsed or made.
func (f *Format) token(s, id string) Token {
	return Token{reveal: func() string { return s }, masked: mask(f.Prefix, id)}
}

// parse reports whether token is well-formed, and the key ID in it. It does
// not allocate. At most one of several formats takes a token: a prefix ends in
// an underscore and a body has none, so the prefix is all up to the last one.
func (f *Format) parse(token string) (id string, ok bool) {
	n := len(f.Prefix)
	if len(token) != f.tokenLen() || token[:n] != f.Prefix {
		return "", false
	}
	body, sum := token[:len(token)-checksumLen], token[len(token)-checksumLen:]
	want := uint64(0)
	for i := range checksumLen {
		d := digits[sum[i]]
		if d == notBase62 {
			return "", false
		}
		want = want*62 + uint64(d)
	}
	if !isBase62(body[n:]) || uint64(crc(body)) != want {
		return "", false
	}
	return body[n : n+f.IDLen], true
}

// validID reports whether id could be a key's ID; what is not is not looked up.
func validID(id string) bool {
	return len(id) >= minIDLen && len(id) <= maxIDLen && isBase62(id)
}

func isBase62(s string) bool {
	bad := byte(0)
	for ; len(s) >= 8; s = s[8:] { // one by one it takes twice as long
		bad |= digits[s[0]] | digits[s[1]] | digits[s[2]] | digits[s[3]] | digits[s[4]] | digits[s[5]] | digits[s[6]] | digits[s[7]]
	}
	for i := range len(s) {
		bad |= digits[s[i]]
	}
	return bad < 64
}

// digits gives the value of each base62 digit, notBase62 for other bytes. The
// values are below 64, so that the bitwise or of several tells whether one of
// them was notBase62.
var digits = func() (t [256]byte) {
	for i := range t {
		t[i] = notBase62
	}
	for i := range len(base62) {
		t[base62[i]] = byte(i)
	}
	return t
}()

// randomBase62 is n digits from crypto/rand. A byte of 248 (4 × 62) or more is
// thrown away, so that every digit is equally likely.
func randomBase62(n int) string {
	out := make([]byte, 0, n)
	var buf [64]byte
	for {
		_, _ = rand.Read(buf[:]) // never fails: crypto/rand ends the program first
		for _, b := range buf {
			if b < 248 {
				if out = append(out, base62[b%62]); len(out) == n {
					return string(out)
				}
			}
		}
	}
}

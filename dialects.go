package apikey

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"
)

// ParseDigest takes a digest of a token as another system stored it:
//
//   - SHA-256 or SHA-512, in hex or base64 of either alphabet
//   - "sha512$salt$hex" and "sha256$salt$hex" as Django hashers write them, also
//     with no salt, as djangorestframework-api-key does
//   - bcrypt ("$2a$", "$2b$", "$2y$"), of cost 4 to 12. It knows 72 bytes: longer
//     tokens, which other systems cut, never match
//   - argon2id ("$argon2id$v=19$m=…,t=…,p=…$salt$hash", also behind Django's
//     "argon2"), of up to 64 MiB, 4 passes and 16 lanes
//   - scrypt ("$scrypt$ln=…,r=…,p=…$salt$hash", and Django's
//     "scrypt$N$salt$r$p$hash"), of up to 64 MiB, N·r·p of up to 2²⁰, and r and p
//     of up to 32
//   - PBKDF2-SHA-256 ("$pbkdf2-sha256$i=…$salt$hash", the same with the bare
//     number as passlib writes it, and Django's "pbkdf2_sha256$…$salt$hash"), of
//     up to 2,000,000 rounds for each 32 bytes of hash
//
// Anything else, and what is above these bounds, is [ErrInvalid].
//
// The last four are slow, which a [Scheme] must allow. Each attempt with a
// token of such a key takes a processor for up to about a second and 64 MiB, so
// that no more than half of them compute at once, one for each key (an argon2id
// takes as many as it has lanes, all of that half at most): what comes
// meanwhile, a second request with the same key too, is answered 503.
// Config.FailedAttempts keeps guessers from it; Scheme.SecretBits and
// Config.Peppers make an end of it at the first good use.
func ParseDigest(s string) (Digest, error) {
	if sum, ok := decodeSum(s); ok {
		if len(sum) == sha256.Size {
			return newDigest(kindSHA256, 0, string(sum)), nil
		}
		fd := foreignDigest{alg: algSHA512, sum: sum}
		return fd.digest(), nil
	}
	fd, err := parseDialect(s)
	if err != nil {
		return Digest{}, err
	}
	return fd.digest(), nil
}

// SaltPosition says where a salt stood when a token was hashed.
type SaltPosition bool

// The positions of a salt.
const (
	SaltBefore SaltPosition = false // salt + token
	SaltAfter  SaltPosition = true  // token + salt
)

// ParseSaltedDigest takes a SHA-256 or SHA-512 digest, in hex or base64, and
// the 1 to 64 bytes of salt that were hashed with the token. Anything else is
// [ErrInvalid].
func ParseSaltedDigest(s string, salt []byte, where SaltPosition) (Digest, error) {
	sum, ok := decodeSum(s)
	if !ok || len(salt) == 0 || len(salt) > maxSalt {
		return Digest{}, fmt.Errorf("%w: a salted digest is 32 or 64 bytes in hex or base64, and a salt of 1 to %d bytes", ErrInvalid, maxSalt)
	}
	fd := foreignDigest{alg: algSHA256, salt: slices.Clone(salt), after: where == SaltAfter, sum: sum}
	if len(sum) == sha512.Size {
		fd.alg = algSHA512
	}
	return fd.digest(), nil
}

// decodeSum reads 32 or 64 bytes in hex or base64.
func decodeSum(s string) ([]byte, bool) {
	var b []byte
	var err error
	switch len(s) {
	case 2 * sha256.Size, 2 * sha512.Size:
		b, err = hex.DecodeString(s)
	case 43, 44, 86, 88: // without padding, and with it
		b, err = decodeBase64(s)
	default:
		return nil, false
	}
	return b, err == nil && (len(b) == sha256.Size || len(b) == sha512.Size)
}

var fromOtherAlphabets = strings.NewReplacer("-", "+", "_", "/", ".", "+")

// decodeBase64 reads the standard alphabet, that of URLs, and passlib's, which
// has '.' for '+'; padded or not.
func decodeBase64(s string) ([]byte, error) {
	return base64.RawStdEncoding.DecodeString(fromOtherAlphabets.Replace(strings.TrimRight(s, "=")))
}

// parseDialect reads the texts that other systems store.
func parseDialect(s string) (foreignDigest, error) {
	var d foreignDigest
	ok := false
	if strings.HasPrefix(s, "argon2$argon2id$") { // Django writes its own name of the algorithm before the text
		s = s[len("argon2"):]
	}
	f := strings.Split(s, "$")
	switch {
	case len(s) > 512:
	case f[0] != "":
		d, ok = parseDjango(f)
	case len(f) == 4 && (f[1] == "2a" || f[1] == "2b" || f[1] == "2y"):
		d, ok = foreignDigest{alg: algBcrypt, sum: []byte(s)}, true
	default:
		d, ok = parsePHC(f[1:])
	}
	if !ok || !d.bounded() {
		return foreignDigest{}, fmt.Errorf("%w: it is none of the digests that ParseDigest knows, or above its bounds", ErrInvalid)
	}
	return d, nil
}

// parsePHC reads the fields of a PHC string, and passlib's variants of it.
// https://github.com/P-H-C/phc-string-format
func parsePHC(f []string) (d foreignDigest, ok bool) {
	if len(f) < 4 {
		return d, false
	}
	d.alg = algorithm(f[0])
	switch {
	case d.alg == algArgon && len(f) == 5 && f[1] == "v=19":
		ok = d.costs(f[2], "m", "t", "p")
	case d.alg == algScrypt && len(f) == 4:
		ok = d.costs(f[1], "ln", "r", "p")
	case d.alg == algPBKDF2 && len(f) == 4:
		rounds, length, hasLength := strings.Cut(f[1], ",l=")
		if hasLength && length != strconv.Itoa(b64Len(f[3])) {
			return d, false
		}
		ok = d.costs("i="+strings.TrimPrefix(rounds, "i="), "i")
	}
	return d, ok && d.saltAndSum(f[len(f)-2], f[len(f)-1])
}

// parseDjango reads the fields that Django's hashers join by "$".
func parseDjango(f []string) (d foreignDigest, ok bool) {
	switch {
	case (f[0] == "sha256" || f[0] == "sha512") && len(f) == 3:
		d.alg, d.salt = algorithm(f[0]), []byte(f[1])
		d.sum, ok = decodeSum(f[2])
		return d, ok && len(d.salt) <= maxSalt
	case f[0] == "pbkdf2_sha256" && len(f) == 4:
		d.alg, d.salt = algPBKDF2, []byte(f[2])
		ok = d.costs("i="+f[1], "i")
	case f[0] == "scrypt" && len(f) == 6:
		d.alg, d.salt = algScrypt, []byte(f[2])
		n, err := strconv.ParseUint(f[1], 10, 32)
		if err != nil || bits.OnesCount64(n) != 1 {
			return d, false
		}
		ok = d.costs(fmt.Sprintf("ln=%d,r=%s,p=%s", bits.TrailingZeros64(n), f[3], f[4]), "ln", "r", "p")
	}
	if !ok {
		return d, false
	}
	sum, err := decodeBase64(f[len(f)-1])
	d.sum = sum
	return d, err == nil
}

// costs reads "m=65536,t=3,p=4", in the order of names.
func (d *foreignDigest) costs(s string, names ...string) bool {
	f := strings.Split(s, ",")
	if len(f) != len(names) {
		return false
	}
	for i, name := range names {
		value, ok := strings.CutPrefix(f[i], name+"=")
		n, err := parseCost(value)
		if !ok || err != nil {
			return false
		}
		d.cost[i] = n
	}
	return true
}

func (d *foreignDigest) saltAndSum(salt, sum string) bool {
	var errs [2]error
	d.salt, errs[0] = decodeBase64(salt)
	d.sum, errs[1] = decodeBase64(sum)
	return errs[0] == nil && errs[1] == nil
}

// b64Len is how many bytes a base64 text without padding holds.
func b64Len(s string) int { return base64.RawStdEncoding.DecodedLen(len(strings.TrimRight(s, "="))) }

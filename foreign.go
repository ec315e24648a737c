package apikey

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math/bits"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/crypto/scrypt"
)

// Bounds of what one verification may cost. They hold at import and again when
// a token is verified, so that nobody who can write to the database can stop
// the service with one digest.
const (
	maxBcryptCost   = 12      // about 250 ms
	maxBcryptInput  = 72      // bytes; bcrypt knows no more, and what it would cut is refused
	maxArgonMemory  = 1 << 16 // KiB: 64 MiB
	maxArgonPasses  = 4
	maxArgonLanes   = 16
	maxScryptMemory = 1 << 26   // bytes, 128·N·r: 64 MiB
	maxScryptWork   = 1 << 20   // N·r·p
	maxScryptBlocks = 32        // r, and p
	maxPBKDF2Rounds = 2_000_000 // for each 32 bytes of the sum
	maxSalt         = 64        // bytes
	minForeignSum   = 16
	maxForeignSum   = 64
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
// token of such a key takes a processor for up to half a second and 64 MiB, so
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

// algorithm is how another system made its digests. The text is stored.
type algorithm string

const (
	algSHA256 algorithm = "sha256"
	algSHA512 algorithm = "sha512"
	algHMAC   algorithm = "hmac-sha256"
	algBcrypt algorithm = "bcrypt"
	algArgon  algorithm = "argon2id"
	algScrypt algorithm = "scrypt"
	algPBKDF2 algorithm = "pbkdf2-sha256"
)

// foreignDigest is a digest that is not of the kinds that new ones are. It is
// stored as
//
//	algorithm $ cost,cost,cost $ b or a, for the salt's place $ salt $ sum
//
// with salt and sum in base64 without padding.
type foreignDigest struct {
	alg   algorithm
	cost  [3]uint32 // argon2id: KiB, passes, lanes; scrypt: log₂N, r, p; PBKDF2: rounds
	after bool      // the salt stands behind what is hashed
	salt  []byte    // of bcrypt nothing, as it is in sum
	sum   []byte    // of bcrypt its whole text
}

func (d *foreignDigest) digest() Digest { return newDigest(kindForeign, 0, d.encode()) }

func (d *foreignDigest) encode() string {
	where := "b"
	if d.after {
		where = "a"
	}
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("%s$%d,%d,%d$%s$%s$%s", d.alg, d.cost[0], d.cost[1], d.cost[2], where, b64.EncodeToString(d.salt), b64.EncodeToString(d.sum))
}

var errForeign = fmt.Errorf("%w: the stored digest is malformed or above the bounds that ParseDigest states", ErrInvalid)

// parseForeign reads what encode wrote, and holds it to the bounds.
func parseForeign(s string) (foreignDigest, error) {
	f := strings.Split(s, "$")
	if len(f) != 5 || f[2] != "a" && f[2] != "b" {
		return foreignDigest{}, errForeign
	}
	d := foreignDigest{alg: algorithm(f[0]), after: f[2] == "a"}
	costs := strings.Split(f[1], ",")
	var errs [5]error
	if len(costs) != len(d.cost) {
		return foreignDigest{}, errForeign
	}
	for i := range d.cost {
		d.cost[i], errs[i] = parseCost(costs[i])
	}
	d.salt, errs[3] = base64.RawStdEncoding.DecodeString(f[3])
	d.sum, errs[4] = base64.RawStdEncoding.DecodeString(f[4])
	if errors.Join(errs[:]...) != nil || !d.bounded() {
		return foreignDigest{}, errForeign
	}
	return d, nil
}

func parseCost(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err == nil && strconv.FormatUint(n, 10) != s {
		err = errForeign // one spelling of each number
	}
	return uint32(n), err
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

// slow reports whether checking d takes milliseconds.
func (d *foreignDigest) slow() bool {
	switch d.alg {
	case algBcrypt, algArgon, algScrypt, algPBKDF2:
		return true
	}
	return false
}

// bounded reports whether d can be checked, at a cost that is within bounds.
func (d *foreignDigest) bounded() bool {
	if len(d.salt) > maxSalt || d.after && d.alg != algSHA256 && d.alg != algSHA512 {
		return false
	}
	n := len(d.sum)
	derived := n >= minForeignSum && n <= maxForeignSum
	c := d.cost
	free := c == [3]uint32{}
	switch d.alg {
	case algSHA256:
		return n == sha256.Size && free
	case algHMAC:
		return n == sha256.Size && free && len(d.salt) == 0
	case algSHA512:
		return n == sha512.Size && free
	case algBcrypt:
		cost, err := bcrypt.Cost(d.sum)
		return err == nil && n == 60 && isBcrypt64(d.sum[7:]) && cost <= maxBcryptCost && free && len(d.salt) == 0
	case algArgon:
		return derived && c[1] >= 1 && c[1] <= maxArgonPasses && c[2] >= 1 && c[2] <= maxArgonLanes && c[0] >= 8*c[2] && c[0] <= maxArgonMemory
	case algScrypt:
		if c[0] < 1 || c[0] > 31 || c[1] < 1 || c[1] > maxScryptBlocks || c[2] < 1 || c[2] > maxScryptBlocks {
			return false
		}
		nr := uint64(c[1]) << c[0]
		return derived && 128*nr <= maxScryptMemory && nr*uint64(c[2]) <= maxScryptWork
	case algPBKDF2:
		blocks := (uint64(n) + sha256.Size - 1) / sha256.Size
		return derived && c[0] >= 1 && uint64(c[0])*blocks <= maxPBKDF2Rounds && c[1] == 0 && c[2] == 0
	}
	return false
}

// isBcrypt64 reports whether s is of the alphabet that bcrypt writes in.
func isBcrypt64(s []byte) bool {
	for _, c := range s {
		if digits[c] == notBase62 && c != '.' && c != '/' {
			return false
		}
	}
	return true
}

// guarded reports whether a guesser who has d needs more than d and a fast hash.
func (d *foreignDigest) guarded() bool { return d.slow() || d.alg == algHMAC }

// lanes is how many processors checking d takes.
func (d *foreignDigest) lanes() int {
	if d.alg == algArgon {
		return int(d.cost[2])
	}
	return 1
}

// matches reports whether d is the digest of b. It compares in constant time.
func (d *foreignDigest) matches(b, key []byte) (_ bool, err error) {
	var sum []byte
	switch d.alg {
	case algSHA256, algSHA512:
		salted := slices.Concat(d.salt, b)
		if d.after {
			salted = slices.Concat(b, d.salt)
		}
		if d.alg == algSHA256 {
			s := sha256.Sum256(salted)
			sum = s[:]
		} else {
			s := sha512.Sum512(salted)
			sum = s[:]
		}
	case algHMAC:
		mac := hmac.New(sha256.New, key)
		mac.Write(b)
		sum = mac.Sum(nil)
	case algBcrypt:
		return len(b) <= maxBcryptInput && bcrypt.CompareHashAndPassword(d.sum, b) == nil, nil
	case algArgon:
		sum = argon2.IDKey(b, d.salt, d.cost[1], d.cost[0], uint8(d.cost[2]), uint32(len(d.sum)))
	case algScrypt:
		sum, err = scrypt.Key(b, d.salt, 1<<d.cost[0], int(d.cost[1]), int(d.cost[2]), len(d.sum))
	case algPBKDF2:
		sum, err = pbkdf2.Key(sha256.New, string(b), d.salt, int(d.cost[0]), len(d.sum))
	}
	return subtle.ConstantTimeCompare(sum, d.sum) == 1, err // of two lengths: 0
}

// slowGate lets half of the processors compute slow hashes, one for each key.
type slowGate struct {
	mu      sync.Mutex
	running map[string]int // ID of the key: processors
	free    int
	most    int
}

func newSlowGate() *slowGate {
	most := max(1, runtime.GOMAXPROCS(0)/2)
	return &slowGate{running: make(map[string]int), free: most, most: most}
}

// enter reports whether a hash of so many lanes may be computed for the key
// now; leave ends it.
func (g *slowGate) enter(id string, lanes int) bool {
	lanes = min(lanes, g.most)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.running[id] > 0 || g.free < lanes {
		return false
	}
	g.running[id] = lanes
	g.free -= lanes
	return true
}

func (g *slowGate) leave(id string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.free += g.running[id]
	delete(g.running, id)
}

package apikey

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

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
		before, after := d.salt, b
		if d.after {
			before, after = b, d.salt
		}
		salted := slices.Concat(before, after)
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

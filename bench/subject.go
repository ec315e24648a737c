// Package bench measures apikey beside what people would use instead: the same
// job, on the same keys, in one run. It is how we know, and how a reader can
// check:
//
//	go run ./bench/report
//
// runs everything and writes BENCHMARKS.md. One row alone is
//
//	go test -run '^$' -bench 'Auth/gin.*/keys=1$' -benchmem ./bench
package bench

import (
	"errors"
	"hash/crc32"
	"math/rand/v2"
	"strconv"
)

// Case is what a request brings.
type Case string

// The cases. A subject that cannot tell two of them apart says so by having no
// requests of the second.
const (
	Accepted    Case = "accepted"
	WrongSecret Case = "wrong secret" // of the right shape and checksum, with the ID of a key that exists
	Unknown     Case = "unknown"      // of the right shape and checksum, of no key
	Malformed   Case = "malformed"    // of the wrong shape
	Limited     Case = "rate-limited" // of a good key that is over its limit
)

// Cases are all there are.
func Cases() []Case { return []Case{Accepted, WrongSecret, Unknown, Malformed, Limited} }

// Subject is one way to do a job.
type Subject struct {
	Name   string // "gin, hand-written"; no two of one job have the same
	Module string // the path of its module, for the version in the report; "": only Go's own packages
	Leaves string // what it does not do of what apikey does here, and how it is set up where that is not plain; "": nothing

	// Start makes the subject ready for a workload. Its error wraps ErrAbsent
	// where the machine lacks a server that it needs.
	Start func(w *Workload) (*Running, error)
}

// ErrAbsent says that a subject cannot be measured here: a server is absent.
var ErrAbsent = errors.New("bench: absent")

// Running is a subject that is ready to be measured.
type Running struct {
	// Requests are the credentials of a case, in order of use, as a client sends
	// them: a header's value, a token, or the name of a bucket. They lie in one
	// buffer in that order. nil: the subject has no such case.
	Requests func(c Case) []string

	// Client returns a function that sends one request of a case and returns the
	// HTTP status of the answer: 204 if it was accepted, else 401, 403 or 429.
	// Each goroutine uses one of its own. What it costs besides the subject is
	// the same for all of a job: no recorder, no new request. Each case has
	// clients of its own, because those of Limited may reach a second instance
	// of the subject, whose limits are spent: it is made when Requests or Client
	// is first asked for it, which takes as long as Start.
	Client func(c Case) func(credential string) (status int)

	// Close gives back what Start took. No client may be in use. Never nil.
	Close func()
}

// Workload is what all subjects of one run are given: the same keys in the same
// order.
type Workload struct {
	Keys   int
	Tokens []string // one for each key, in order of use; a subject whose credentials are not of its choosing takes these
}

// What tokens look like: those of apikey with the prefix rd_sk_.
const (
	prefix    = "rd_sk_"
	idEnd     = len(prefix) + 12
	secretEnd = idEnd + 27
	tokenLen  = secretEnd + 6
)

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// NewWorkload makes n keys, the same ones each time. They guard nothing: their
// tokens are not of crypto/rand.
func NewWorkload(n int) *Workload {
	random := rand.New(rand.NewPCG(1, uint64(n))) //nolint:gosec // G404: repeatable, and of keys that guard nothing
	return &Workload{Keys: n, Tokens: inOneBuffer(n, func(b []byte, _ int) []byte {
		b = append(b, prefix...)
		return withChecksum(appendBase62(b, random, secretEnd-len(prefix)))
	})}
}

// ID is that of key i: it stands in its token.
func (w *Workload) ID(i int) string { return w.Tokens[i][len(prefix):idEnd] }

// Owner is that of key i. One owner has ten keys, which are not used one after
// the other.
func (w *Workload) Owner(i int) string { return "acct_" + strconv.Itoa(i%((w.Keys+9)/10)) }

// Order is one in which to store keys: not that of use, so that keys used one
// after the other do not lie side by side in memory.
func (w *Workload) Order() []int {
	return rand.New(rand.NewPCG(2, uint64(w.Keys))).Perm(w.Keys) //nolint:gosec // G404: repeatable
}

// Bad are tokens that must be refused, one for each key: WrongSecret, Unknown
// or Malformed.
func (w *Workload) Bad(c Case) []string {
	random := rand.New(rand.NewPCG(3, uint64(w.Keys))) //nolint:gosec // G404: repeatable
	return inOneBuffer(w.Keys, func(b []byte, i int) []byte {
		switch c {
		case WrongSecret:
			return withChecksum(appendBase62(append(b, w.Tokens[i][:idEnd]...), random, secretEnd-idEnd))
		case Unknown:
			return withChecksum(appendBase62(append(b, prefix...), random, secretEnd-len(prefix)))
		default: // a character that no token has, where the checksum begins
			b = append(b, w.Tokens[i]...)
			b[len(b)-(tokenLen-secretEnd)] = '-'
			return b
		}
	})
}

func appendBase62(b []byte, random *rand.Rand, n int) []byte {
	for range n {
		b = append(b, base62[random.IntN(len(base62))])
	}
	return b
}

// withChecksum appends to b the checksum of the token at its end: CRC-32 (IEEE)
// of all before it, as six base62 digits.
func withChecksum(b []byte) []byte {
	sum := crc32.ChecksumIEEE(b[len(b)-secretEnd:])
	b = append(b, "000000"...)
	for i := len(b) - 1; sum > 0; i-- {
		b[i] = base62[sum%62]
		sum /= 62
	}
	return b
}

// inOneBuffer makes n strings that lie one after the other in one buffer: what
// was just received is in the processor's cache, so that to read it must not
// cost a miss, while what is found by it should.
func inOneBuffer(n int, appendOne func(b []byte, i int) []byte) []string {
	var b []byte
	ends := make([]int, n)
	for i := range n {
		b = appendOne(b, i)
		ends[i] = len(b)
	}
	all, start := string(b), 0
	out := make([]string, n)
	for i, end := range ends {
		out[i], start = all[start:end], end
	}
	return out
}

// each is the strings with something before them, in one buffer.
func each(before string, strs []string) []string {
	return inOneBuffer(len(strs), func(b []byte, i int) []byte { return append(append(b, before...), strs[i]...) })
}

// InOrder is those of the requests that the indexes name, in that order, in one
// buffer, each as often as it is named: for other orders of use, hot or Zipf.
func InOrder(requests []string, indexes []int) []string {
	return inOneBuffer(len(indexes), func(b []byte, i int) []byte { return append(b, requests[indexes[i]]...) })
}

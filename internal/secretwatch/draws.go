package secretwatch

import (
	"crypto/rand"
	"hash/maphash"
	"io"
	"sync/atomic"
)

const (
	digits  = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	drawLen = 64 // bytes that the library reads at once to draw an ID or a secret
	window  = 16 // digits of a fingerprint: more than an ID has, but for the longest
)

// windows are where fingerprints of a draw begin: any 19 digits in a row of
// its first 27 hold one.
var windows = [...]int{0, 4, 8, 11}

// listen makes crypto/rand remember what it drew.
func listen() { rand.Reader = listener{rand.Reader} }

type listener struct{ source io.Reader }

func (l listener) Read(p []byte) (int, error) {
	n, err := l.source.Read(p)
	if n == drawLen {
		drawn(p)
	}
	return n, err
}

// drawn remembers the digits that come of random bytes: those of 248 or more
// are thrown away, so that every digit is equally likely.
func drawn(random []byte) {
	var text [drawLen]byte
	n := 0
	for _, b := range random {
		if b < 248 {
			text[n] = digits[b%62]
			n++
		}
	}
	for _, at := range windows {
		if at+window <= n {
			secrets.add(fingerprint(text[at : at+window]))
		}
	}
}

// secrets has room for the fingerprints of 700,000 draws, or of digests, outside of the heap,
// whose size some tests measure. What is drawn when it is full is still
// found as a whole token.
var secrets set

const (
	setLen   = 1 << 22
	mostSeen = 64 // cells that are looked at: some are free until the set is nearly full
)

// set is of fingerprints. It only grows. It has neither a lock nor a counter,
// which would put goroutines in order that race without them.
type set struct{ cells [setLen]atomic.Uint64 }

func (s *set) add(mark uint64) {
	for i := range uint64(mostSeen) {
		cell := &s.cells[(mark+i)%setLen]
		if cell.Load() == mark || cell.CompareAndSwap(0, mark) {
			return
		}
	}
}

func (s *set) has(mark uint64) bool {
	for i := range uint64(mostSeen) {
		switch s.cells[(mark+i)%setLen].Load() {
		case mark:
			return true
		case 0:
			return false
		}
	}
	return false
}

var seed = maphash.MakeSeed()

func fingerprint(b []byte) uint64 { return max(1, maphash.Bytes(seed, b)) }

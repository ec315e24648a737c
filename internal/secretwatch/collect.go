package secretwatch

import (
	"crypto/sha256"
	"crypto/sha512"
	"strings"
	"sync"
	"sync/atomic"
)

// collected is where what is handed over goes; nil outside of [Main].
var collected atomic.Pointer[spool]

// Text hands over a text that anybody but a key's holder may see. The place is
// told with a finding: t.Name() and what it is.
func Text(place, text string) {
	if s := collected.Load(); s != nil {
		s.add(place, text)
	}
}

// Add names secrets, tokens and digests that the library did not draw, or that
// are to be found in another form: each is searched for, in any encoding, and
// so is its SHA-256 and SHA-512. What is shorter than 16 characters, or is
// bytes and shorter than 32, is not.
func Add(texts ...string) {
	if collected.Load() == nil {
		return
	}
	for _, text := range texts {
		for _, run := range runs([]byte(text), isDigit, window) {
			for at := run.from; at+window <= run.to; at++ {
				secrets.add(fingerprint([]byte(text[at : at+window])))
			}
		}
		sum, long := sha256.Sum256([]byte(text)), sha512.Sum512([]byte(text))
		addDigest(sum[:])
		addDigest(long[:])
		if !isText(text) && len(text) >= digestLen {
			addDigest([]byte(text))
		}
	}
}

// Record names the digests in the stored form of a key: there, each comes
// after its length.
func Record(stored []byte) {
	if collected.Load() == nil {
		return
	}
	for i, b := range stored {
		if rest := stored[i+1:]; (b == digestLen || b == 2*digestLen) && len(rest) >= int(b) {
			addDigest(rest)
		}
	}
}

// digestLen is that of SHA-256. Of what is longer so much counts.
const digestLen = 32

func addDigest(b []byte) { secrets.add(fingerprint(b[:digestLen])) }

// known are tests' own declarations.
var known struct {
	sync.Mutex
	public   []string       // no secrets
	revealed map[reveal]int // how often a place may show a token
}

// Public says that texts which look like secrets are none: constants of a
// test, hashes of what is public, IDs of more than 15 characters.
func Public(texts ...string) {
	if collected.Load() == nil {
		return
	}
	known.Lock()
	defer known.Unlock()
	known.public = append(known.public, texts...)
}

func isPublic(secret string) bool {
	known.Lock()
	defer known.Unlock()
	for _, text := range known.public {
		if strings.Contains(text, secret) {
			return true
		}
	}
	return false
}

// Reveal lets one place, as a finding names it, show a token once more: the
// answer that gives a new key to whom it is for.
func Reveal(place, token string) {
	if collected.Load() == nil {
		return
	}
	known.Lock()
	defer known.Unlock()
	if known.revealed == nil {
		known.revealed = map[reveal]int{}
	}
	known.revealed[reveal{place, token}]++
}

type reveal struct{ place, token string }

// isRevealed takes one of the times that place may show secret.
func isRevealed(place, secret string) bool {
	known.Lock()
	defer known.Unlock()
	r := reveal{place, secret}
	if known.revealed[r] == 0 {
		return false
	}
	known.revealed[r]--
	return true
}

package secretwatch

import (
	"bytes"
	"cmp"
	"hash/crc32"
	"slices"
)

// finding is a secret that is out.
type finding struct {
	place  string
	what   string
	around string // the text beside it, without it
}

// span is a part of a text, and why it is looked at.
type span struct {
	from, to int
	what     string
}

// scan looks for every secret in a text, also within what is encoded there.
func scan(place string, text []byte) []finding {
	hits := secretsIn(text)
	for _, e := range encodedIn(text) {
		for _, h := range secretsIn(e.bytes) {
			hits = append(hits, span{e.from, e.to, h.what + e.how})
		}
		if e.digest {
			hits = append(hits, span{e.from, e.to, "what looks like a digest" + e.how})
		}
	}
	hits = slices.DeleteFunc(hits, func(h span) bool { return isPublic(string(text[h.from:h.to])) })
	hits = slices.DeleteFunc(merge(hits), func(h span) bool { return isRevealed(place, string(text[h.from:h.to])) })
	found := make([]finding, 0, len(hits))
	for _, h := range hits {
		found = append(found, finding{place, h.what, around(text, hits, h)})
	}
	return found
}

// merge makes one of what overlaps, named by the first of it.
func merge(hits []span) []span {
	slices.SortStableFunc(hits, func(a, b span) int { return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(b.to, a.to)) })
	var out []span
	for _, h := range hits {
		if last := len(out) - 1; last >= 0 && h.from < out[last].to {
			out[last].to = max(out[last].to, h.to)
		} else {
			out = append(out, h)
		}
	}
	return out
}

// beside is how much of the text is shown before and after a finding.
const beside = 60

// around is what stands beside h, with h, other findings, and all that might
// be a part of one, masked.
func around(text []byte, hits []span, h span) string {
	from, to := max(0, h.from-beside), min(len(text), h.to+beside)
	masked := bytes.Clone(text[from:to])
	hide := func(a, b int) {
		for i := max(a, from); i < min(b, to); i++ {
			masked[i-from] = 0
		}
	}
	for _, other := range hits {
		hide(other.from, other.to)
	}
	for _, run := range runs(text[from:to], isDigit, 8) {
		if a, b := run.from+from, run.to+from; b-a >= window || a == h.to || b == h.from || a == from || b == to {
			hide(a, b)
		}
	}
	var out []byte
	for i, b := range masked {
		switch {
		case b != 0:
			out = append(out, b)
		case i == 0 || masked[i-1] != 0:
			out = append(out, "…"...)
		}
	}
	return string(out)
}

// secretsIn looks for secrets in text as it is.
func secretsIn(text []byte) []span {
	var hits []span
	for _, run := range runs(text, isDigit, window) {
		hits = append(hits, drawnIn(text, run)...)
		hits = append(hits, tokenAt(text, run)...)
	}
	return append(hits, bytesIn(text)...)
}

// drawnIn is what was drawn, or was added, in a run of digits.
func drawnIn(text []byte, run span) []span {
	for at := run.from; at+window <= run.to; at++ {
		if secrets.has(fingerprint(text[at : at+window])) {
			if part := text[at : at+window]; !isPublic(string(part)) {
				return []span{{run.from, run.to, "a secret"}}
			}
		}
	}
	return nil
}

// A token is prefix, body and checksum, as the library's token.go has it.
const (
	mostPrefix  = 20
	checksumLen = 6
	leastBody   = 7 + 19 + checksumLen
	mostBody    = 32 + 64 + checksumLen
)

// tokenAt is a token whose body a run of digits begins with.
func tokenAt(text []byte, run span) []span {
	if run.to-run.from < leastBody || run.from == 0 || text[run.from-1] != '_' {
		return nil
	}
	for from := run.from - 2; from >= max(0, run.from-mostPrefix) && isPrefix(text[from]); from-- {
		sum := crc32.ChecksumIEEE(text[from : run.from+leastBody-checksumLen])
		for to := run.from + leastBody; to <= min(run.to, run.from+mostBody); to++ {
			if checks(text[to-checksumLen:to], sum) {
				return []span{{from, to, "a token"}}
			}
			sum = crc32.Update(sum, crc32.IEEETable, text[to-checksumLen:to-checksumLen+1])
		}
	}
	return nil
}

func checks(digitsOf []byte, sum uint32) bool {
	n := uint64(0)
	for _, d := range digitsOf {
		n = n*62 + uint64(bytes.IndexByte([]byte(digits), d))
	}
	return n == uint64(sum)
}

// bytesIn is what was added as bytes. A text that anybody can read has none.
func bytesIn(text []byte) []span {
	if isText(string(text)) {
		return nil
	}
	var hits []span
	for at := 0; at+digestLen <= len(text); at++ {
		if secrets.has(fingerprint(text[at : at+digestLen])) {
			hits = append(hits, span{at, at + digestLen, "a digest"})
		}
	}
	return hits
}

// runs are the longest parts of text, of least bytes or more, that are all of a kind.
func runs(text []byte, of func(byte) bool, least int) []span {
	var out []span
	for i := 0; i < len(text); i++ {
		from := i
		for i < len(text) && of(text[i]) {
			i++
		}
		if i-from >= least {
			out = append(out, span{from: from, to: i})
		}
	}
	return out
}

func isDigit(b byte) bool {
	return '0' <= b && b <= '9' || 'A' <= b && b <= 'Z' || 'a' <= b && b <= 'z'
}

func isPrefix(b byte) bool { return '0' <= b && b <= '9' || 'a' <= b && b <= 'z' || b == '_' }

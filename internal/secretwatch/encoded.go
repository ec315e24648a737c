package secretwatch

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// encoded is a part of a text that stands for other bytes.
type encoded struct {
	from, to int
	bytes    []byte
	how      string
	digest   bool // by its shape
}

// encodedIn is all that can be read in another way.
func encodedIn(text []byte) []encoded {
	return slices.Concat(hexIn(text), base64In(text), listsIn(text), quotedIn(text))
}

func hexIn(text []byte) []encoded {
	var out []encoded
	for _, run := range runs(text, isHex, 2*window) {
		for from := run.from; from < run.from+2; from++ { // what stands before it may have been hex too
			b := make([]byte, (run.to-from)/2)
			_, _ = hex.Decode(b, text[from:from+2*len(b)]) // it is hex
			out = append(out, encoded{run.from, run.to, b, ", in hex", from == run.from && isRandom(b)})
		}
	}
	return out
}

func isHex(b byte) bool { return '0' <= b && b <= '9' || 'A' <= b && b <= 'F' || 'a' <= b && b <= 'f' }

// isRandom reports whether b is like a digest: long, and neither text nor the same again and again.
func isRandom(b []byte) bool {
	distinct := map[byte]struct{}{}
	readable := 0
	for _, c := range b {
		distinct[c] = struct{}{}
		if c >= ' ' && c < 0x7f {
			readable++
		}
	}
	return len(b) >= digestLen && len(distinct) >= 16 && len(b)-readable >= 6
}

// base64Lens are the lengths of SHA-256 and of SHA-512, without padding.
var base64Lens = []int{43, 86}

func base64In(text []byte) []encoded {
	var out []encoded
	for _, alphabet := range []struct {
		*base64.Encoding
		more string
	}{{base64.RawStdEncoding, "+/"}, {base64.RawURLEncoding, "-_"}} {
		of := func(b byte) bool { return isDigit(b) || b == alphabet.more[0] || b == alphabet.more[1] }
		for _, run := range runs(text, of, window*4/3) {
			part := text[run.from:run.to]
			if len(part)%4 == 1 {
				part = part[:len(part)-1]
			}
			b := make([]byte, alphabet.DecodedLen(len(part)))
			_, _ = alphabet.Decode(b, part) // it is of that alphabet
			digest := slices.Contains(base64Lens, run.to-run.from) && isMixed(part) && isRandom(b)
			out = append(out, encoded{run.from, run.to, b, ", in base64", digest})
		}
	}
	return out
}

// isMixed reports whether s holds all kinds of characters and changes between
// them as random ones do, and words, paths, names and hex do not: of 42 times,
// 27 on average. One digest in a thousand is taken for a name.
func isMixed(s []byte) bool {
	var of [4]int
	changes, last := 0, -1
	for _, b := range s {
		kind := 3
		switch {
		case 'A' <= b && b <= 'Z':
			kind = 0
		case 'a' <= b && b <= 'z':
			kind = 1
		case '0' <= b && b <= '9':
			kind = 2
		}
		if of[kind]++; kind != last {
			changes++
		}
		last = kind
	}
	return changes*5 >= len(s)*2 && of[0] > 2 && of[1] > 2 && of[2] > 0
}

// listsIn reads bytes that are printed one by one: "[1 2 255]", "1, 2, 255",
// "0x1, 0xff", "01 ff".
func listsIn(text []byte) []encoded {
	var out []encoded
	for i := 0; i < len(text); {
		if !isHex(text[i]) || i > 0 && isDigit(text[i-1]) {
			i++
			continue
		}
		from, items := i, [][]byte(nil)
		for {
			end := i
			for end < len(text) && isDigit(text[end]) && end-i < 5 {
				end++
			}
			items = append(items, text[i:end])
			i = end
			next := i + separator(text[i:])
			if next == i || next >= len(text) || !isHex(text[next]) {
				break
			}
			i = next
		}
		if len(items) >= window {
			out = append(out, listOf(from, i, items)...)
		}
		i = max(i, from+1)
	}
	return out
}

func separator(text []byte) int {
	n := 0
	if n < len(text) && text[n] == ',' {
		n++
	}
	if n < len(text) && text[n] == ' ' {
		n++
	}
	return n
}

// listOf reads items as decimal and as hex numbers.
func listOf(from, to int, items [][]byte) []encoded {
	var out []encoded
	for _, base := range []int{10, 16} {
		var b []byte
		for _, item := range items {
			digitsOf := item
			if base == 16 {
				digitsOf = bytes.TrimPrefix(item, []byte("0x"))
			}
			v, err := strconv.ParseUint(string(digitsOf), base, 8)
			if err != nil {
				b = nil
				break
			}
			b = append(b, byte(v))
		}
		if b != nil {
			out = append(out, encoded{from, to, b, ", as a list of bytes", isRandom(b)})
		}
	}
	return out
}

// quotedIn reads the escapes of Go and JSON. What it finds is shown by its
// line, since escapes have no length of their own.
func quotedIn(text []byte) []encoded {
	var out []encoded
	at := 0
	for line := range bytes.Lines(text) {
		if bytes.Contains(line, []byte(`\x`)) || bytes.Contains(line, []byte(`\u`)) {
			out = append(out, encoded{at, at + len(line), unquote(string(line)), ", quoted", false})
		}
		at += len(line)
	}
	return out
}

// unquote reads escapes wherever they stand; what is none stays.
func unquote(s string) []byte {
	var out []byte
	for s != "" {
		if strings.HasPrefix(s, `\"`) || strings.HasPrefix(s, `\'`) { // which UnquoteChar takes in their own quotes only
			out, s = append(out, s[1]), s[2:]
			continue
		}
		c, wide, rest, err := strconv.UnquoteChar(s, 0)
		switch {
		case err != nil:
			out, s = append(out, s[0]), s[1:]
			continue
		case wide || c < utf8.RuneSelf:
			out = utf8.AppendRune(out, c)
		default:
			out = append(out, byte(c))
		}
		s = rest
	}
	return out
}

// isText reports whether s is for people to read.
func isText(s string) bool {
	for _, r := range s {
		if r == utf8.RuneError || !unicode.IsPrint(r) && !unicode.IsSpace(r) {
			return false
		}
	}
	return true
}

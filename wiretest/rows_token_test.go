package wiretest

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/go-apikey/apikey"
)

// tokenRows are about what stands in place of K.
var tokenRows = []row{
	{"percent-encoded K; secret-token:K", slices.Concat(
		token("percent-encoded", func(w *world) string { return "%72" + w.k[1:] }, malformed),
		token("secret-token", func(w *world) string { return "secret-token:" + w.k }, malformed),
	)},
	{"K minus or plus one character; K and 80 bytes; last character changed; one letter's case flipped", slices.Concat(
		token("minus the last", func(w *world) string { return w.k[:len(w.k)-1] }, invalid),
		token("minus the first", func(w *world) string { return w.k[1:] }, invalid),
		token("plus one", func(w *world) string { return w.k + "a" }, invalid),
		token("plus 80", func(w *world) string { return w.k + strings.Repeat("a", 80) }, invalid),
		token("last changed", func(w *world) string { return w.k[:len(w.k)-1] + string(otherDigit(w.k[len(w.k)-1])) }, invalid),
		token("case flipped in the prefix", func(w *world) string { return flipCase(w.k, 0) }, invalid),
		token("case flipped in the ID", func(w *world) string { return flipCase(w.k, len("rd_sk_")) }, invalid),
		token("case flipped in the secret", func(w *world) string { return flipCase(w.k, len("rd_sk_")+12) }, invalid),
	)},
	{"checksum right for the body but under another prefix of ours or of nobody; prefix alone; six checksum digits from 2^32", slices.Concat(
		token("another prefix of ours", func(w *world) string { return "rd_test_" + strings.TrimPrefix(w.k, "rd_sk_") }, invalid),
		token("nobody's prefix", func(w *world) string { return "zz_sk_" + strings.TrimPrefix(w.k, "rd_sk_") }, invalid),
		token("nobody's prefix and its own checksum", func(w *world) string { return sum("rd_pk_" + body(w.k)) }, invalid),
		token("no prefix", func(w *world) string { return strings.TrimPrefix(w.k, "rd_sk_") }, invalid),
		token("prefix alone", func(*world) string { return "rd_sk_" }, invalid),
		token("checksum plus 2^32", func(w *world) string {
			unsigned := "rd_sk_" + body(w.k)
			return unsigned + digits(1<<32+uint64(crc32.ChecksumIEEE([]byte(unsigned))))
		}, invalid),
		token("checksum zzzzzz", func(w *world) string { return "rd_sk_" + body(w.k) + "zzzzzz" }, invalid),
	)},
	{"right checksum, unknown key; or known key and a secret that is not its own", slices.Concat(
		token("unknown key", func(*world) string { return sum("rd_sk_" + strings.Repeat("0", 12+27)) }, unknown),
		token("another's secret", func(w *world) string { return sum("rd_sk_" + body(w.k)[:12] + body(w.l)[12:]) }, unknown),
		token("another prefix of ours and its checksum", func(w *world) string { return sum("rd_test_" + body(w.k)) }, unknown),
		storeSays("a Store that wraps ErrNotFound", unknown, func(*world, context.Context, string) (*apikey.Record, error) {
			return nil, fmt.Errorf("no row: %w", apikey.ErrNotFound)
		}),
	)},
	{"64 KiB token; 60,000 dots", slices.Concat(
		token("64 KiB", func(*world) string { return strings.Repeat("a", 64<<10) }, malformed),
		token("64 KiB that begin with K", func(w *world) string { return w.k + strings.Repeat("a", 64<<10-len(w.k)) }, malformed),
		token("60,000 dots", func(*world) string { return strings.Repeat(".", 60_000) }, malformed),
		token("513 bytes", func(w *world) string { return w.k + strings.Repeat("a", 513-len(w.k)) }, malformed),
		token("512 bytes", func(w *world) string { return w.k + strings.Repeat("a", 512-len(w.k)) }, invalid),
	)},
	{"' OR 1=1--", token("injection", func(*world) string { return "' OR 1=1--" }, malformed)},
	{"null, undefined; a key ID in place of a token; the stored digest in place of a token", slices.Concat(
		token("null", func(*world) string { return "null" }, invalid),
		token("undefined", func(*world) string { return "undefined" }, invalid),
		token("key ID", func(w *world) string { return w.issued.Key.ID }, invalid),
		token("prefix and key ID", func(w *world) string { return "rd_sk_" + w.issued.Key.ID }, invalid),
		token("digest in hex", func(w *world) string {
			d := sha256.Sum256([]byte(w.k))
			return hex.EncodeToString(d[:])
		}, invalid),
		token("digest in base64", func(w *world) string {
			d := sha256.Sum256([]byte(w.k))
			return base64.StdEncoding.EncodeToString(d[:])
		}, invalid),
	)},
	{"a masked form in place of a token", slices.Concat(
		token("as printed", func(w *world) string { return w.issued.Token.String() }, malformed),
		token("as listed", func(w *world) string { return w.issued.Key.Masked() }, malformed),
	)},
}

// storeSays is K with a Store whose Get answers so.
func storeSays(name string, want outcome, get func(*world, context.Context, string) (*apikey.Record, error)) []input {
	return []input{{name: name, want: want, given: func(_ *testing.T, w *world) {
		w.store.get = func(ctx context.Context, ref string) (*apikey.Record, error) { return get(w, ctx, ref) }
	}}}
}

const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// body is ID and secret of a token of the first format.
func body(token string) string { return token[len("rd_sk_") : len(token)-6] }

// sum is s and the checksum that s should have.
func sum(s string) string { return s + digits(uint64(crc32.ChecksumIEEE([]byte(s)))) }

// digits is n as six digits of base62.
func digits(n uint64) string {
	out := []byte("000000")
	for i := range slices.Backward(out) {
		out[i] = alphabet[n%62]
		n /= 62
	}
	return string(out)
}

// otherDigit is any digit but c.
func otherDigit(c byte) byte { return alphabet[(strings.IndexByte(alphabet, c)+1)%len(alphabet)] }

// flipCase flips the case of the first letter at or after from.
func flipCase(s string, from int) string {
	i := from + strings.IndexFunc(s[from:], unicode.IsLetter)
	return s[:i] + string(s[i]^0x20) + s[i+1:]
}

package apikey

import (
	"hash/crc32"
	"math"
	"regexp"
	"strings"
	"testing"
)

// GitHub published how its tokens end in a CRC-32, and this one as an example.
func TestChecksumAgreesWithGitHub(t *testing.T) {
	const published = "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"
	body, want := published[4:34], published[34:]
	if got := checksum(body); got != want {
		t.Errorf("checksum(%q) = %q, want %q", body, got, want)
	}
}

func FuzzChecksum(f *testing.F) {
	f.Add("")
	f.Add("zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ")
	f.Fuzz(func(t *testing.T, s string) {
		if got, want := crc(s), crc32.ChecksumIEEE([]byte(s)); got != want {
			t.Errorf("crc(%q) = %08x, want %08x", s, got, want)
		}
	})
}

// published are the formats that the services of the field use.
var published = []Format{
	Format{Prefix: "rd_sk_"}.withDefaults(),
	Format{Prefix: "rk_live_", IDLen: 7, SecretLen: 19}.withDefaults(),
	Format{Prefix: "rk_"}.withDefaults(),
	Format{Prefix: "rg_live_", Environment: "live"}.withDefaults(),
	Format{Prefix: "rg_test_", Environment: "test"}.withDefaults(),
	Format{Prefix: "a234567890123456789_", IDLen: maxIDLen, SecretLen: maxSecretLen}.withDefaults(),
}

func TestTokenHasItsFormat(t *testing.T) {
	for _, f := range published {
		t.Run(f.Prefix, func(t *testing.T) {
			finds := regexp.MustCompile(f.Regexp())
			for range 200 {
				token, id := f.issue("")
				s := token.Reveal()
				if len(s) > maxNativeLen {
					t.Fatalf("a token has %d bytes, more than maxNativeLen", len(s))
				}
				for i := range published {
					gotID, ok := published[i].parse(s)
					if want := published[i].Prefix == f.Prefix; ok != want || ok && gotID != id {
						t.Fatalf("%s parses %s as %q, %t; want %t", published[i].Prefix, token, gotID, ok, want)
					}
				}
				for _, text := range []string{s, "key=" + s + "&x=1", `{"key":"` + s + `"}`, "xx" + s + "yy", "_" + s + "_", "é" + s + "é\n"} {
					if got := finds.FindString(text); got != s {
						t.Fatalf("Regexp %s finds %q in %q", f.Regexp(), got, text)
					}
				}
				if got, want := token.String(), f.Prefix+id[:min(8, len(id))]+"…"; got != want {
					t.Fatalf("masked: %q, want %q", got, want)
				}
			}
		})
	}
	s, _ := published[1].issue("")
	if body := strings.TrimPrefix(s.Reveal(), "rk_live_"); len(body) != 32 {
		t.Errorf("rk_live_ is followed by %d characters, want 32", len(body))
	}
}

func TestParseRefuses(t *testing.T) {
	f := published[0]
	token, _ := f.issue("")
	s := token.Reveal()
	other := published[3]
	changed := func(i int, c byte) string { return s[:i] + string(c) + s[i+1:] }
	flip := byte('A')
	if s[20] == 'A' {
		flip = 'B'
	}
	for name, bad := range map[string]string{
		"empty":                      "",
		"prefix alone":               f.Prefix,
		"one short":                  s[:len(s)-1],
		"one long":                   s + "0",
		"another secret":             changed(20, flip),
		"not base62 in the body":     changed(20, '-'),
		"not base62 in the checksum": changed(len(s)-1, '_'),
		"not ASCII":                  s[:20] + "é" + s[22:],
		"NUL":                        changed(20, 0),
		"checksum of 2³² or more":    s[:len(s)-6] + "zzzzzz",
		"checksum zero":              s[:len(s)-6] + "000000",
		"body under another prefix":  other.Prefix + s[len(f.Prefix):],
		"upper-case prefix":          strings.ToUpper(f.Prefix) + s[len(f.Prefix):],
	} {
		t.Run(name, func(t *testing.T) {
			for i := range published {
				if id, ok := published[i].parse(bad); ok {
					t.Errorf("%s parses %q as key %s", published[i].Prefix, bad, id)
				}
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	for i := range published {
		token, _ := published[i].issue("")
		f.Add(token.Reveal())
		f.Add(token.Reveal()[:len(token.Reveal())-1])
	}
	f.Fuzz(func(t *testing.T, s string) {
		taken := 0
		for i := range published {
			id, ok := published[i].parse(s)
			if !ok {
				continue
			}
			taken++
			body := strings.TrimPrefix(s, published[i].Prefix)
			if !validID(id) || !strings.HasPrefix(body, id) || published[i].Prefix+body[:len(body)-6]+checksum(s[:len(s)-6]) != s {
				t.Errorf("%s parses %q as key %q, which it is not", published[i].Prefix, s, id)
			}
		}
		if taken > 1 {
			t.Errorf("%q is a token of %d formats", s, taken)
		}
	})
}

// TestRandomIsUnbiased holds every digit to its share, by a chi-square over
// 620,000 digits. The bound is the 1 - 10⁻⁹ quantile at 61 degrees of freedom
// (Wilson and Hilferty, 1931).
func TestRandomIsUnbiased(t *testing.T) {
	const n = 62 * 10_000
	var counts [256]int
	for _, c := range []byte(randomBase62(n)) {
		counts[c]++
	}
	chi, digits := 0.0, 0
	for c, got := range counts {
		if strings.IndexByte(base62, byte(c)) < 0 {
			if got != 0 {
				t.Errorf("%q is no base62 digit", rune(c))
			}
			continue
		}
		digits++
		chi += (float64(got) - 10_000) * (float64(got) - 10_000) / 10_000
	}
	const df, z = 61.0, 5.998
	if bound := df * math.Pow(1-2/(9*df)+z*math.Sqrt(2/(9*df)), 3); digits != 62 || chi > bound {
		t.Errorf("chi-square over %d digits is %.1f, above %.1f", digits, chi, bound)
	}
	seen := make(map[string]bool)
	for range 10_000 {
		seen[randomBase62(12)] = true
	}
	if len(seen) != 10_000 {
		t.Errorf("%d of 10,000 IDs are distinct", len(seen))
	}
}

func TestFormatCheck(t *testing.T) {
	for _, tc := range []struct {
		name   string
		format Format
		field  string // "": none
	}{
		{"defaults", Format{Prefix: "sk_"}, ""},
		{"shortest", Format{Prefix: "a_", IDLen: 7, SecretLen: 19}, ""},
		{"longest", Format{Prefix: "a234567890123456789_", IDLen: 32, SecretLen: 64, Environment: "live-1"}, ""},
		{"no prefix", Format{}, "Prefix"},
		{"prefix too long", Format{Prefix: "a2345678901234567890_"}, "Prefix"},
		{"no underscore", Format{Prefix: "sk"}, "Prefix"},
		{"upper case", Format{Prefix: "SK_"}, "Prefix"},
		{"dash", Format{Prefix: "s-k_"}, "Prefix"},
		{"leading underscore", Format{Prefix: "_sk_"}, "Prefix"},
		{"leading digit", Format{Prefix: "1sk_"}, "Prefix"},
		{"environment", Format{Prefix: "sk_", Environment: "Live"}, "Environment"},
		{"short ID", Format{Prefix: "sk_", IDLen: 6}, "IDLen"},
		{"long ID", Format{Prefix: "sk_", IDLen: 33}, "IDLen"},
		{"111 bits", Format{Prefix: "sk_", SecretLen: 18}, "SecretLen"},
		{"long secret", Format{Prefix: "sk_", SecretLen: 65}, "SecretLen"},
		{"negative", Format{Prefix: "sk_", IDLen: -1}, "IDLen"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := tc.format.withDefaults()
			var fs faults
			f.check(&fs, "F")
			if tc.field == "" && fs != nil || tc.field != "" && (len(fs) != 1 || fs[0].Field != "F."+tc.field) {
				t.Errorf("faults %v, want one in %q", fs, tc.field)
			}
		})
	}
}

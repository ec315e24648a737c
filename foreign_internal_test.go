package apikey

import (
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What is stored of a digest is read back as it was, and nothing else is read.
func FuzzForeignDigest(f *testing.F) {
	var vectors []struct{ Stored string }
	b, err := os.ReadFile("testdata/schemes/vectors.json")
	if err != nil {
		f.Fatal(err)
	}
	if err := json.Unmarshal(b, &vectors); err != nil {
		f.Fatal(err)
	}
	for _, v := range vectors {
		f.Add(v.Stored)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := ParseDigest(text)
		if err != nil {
			if !errors.Is(err, ErrInvalid) || text != "" && strings.Contains(err.Error(), text) && len(text) > 12 {
				t.Fatalf("%v", err)
			}
		} else if d.kind == kindForeign {
			stored := d.sum()
			fd, err := parseForeign(stored)
			if err != nil || fd.encode() != stored || len(stored) > maxForeignText {
				t.Fatalf("stored as %q, %d bytes: %v", stored, len(stored), err)
			}
		}
		if fd, err := parseForeign(text); err == nil {
			again, err := parseForeign(fd.encode())
			if diff := cmp.Diff(fd, again, cmp.AllowUnexported(foreignDigest{})); err != nil || diff != "" {
				t.Fatalf("%v\n%s", err, diff)
			}
			if !fd.bounded() {
				t.Fatalf("%+v is out of bounds", fd)
			}
		}
	})
}

func TestParseDigestBounds(t *testing.T) {
	t.Parallel()
	const salt, sum = "c2FsdHNhbHRzYWx0", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY" // 12 and 32 bytes
	bcryptTail := "$" + strings.Repeat("a", 53)
	for _, tt := range []struct {
		name, text string
		ok         bool
	}{
		{"bcrypt 4", "$2b$04" + bcryptTail, true},
		{"bcrypt 12", "$2b$12" + bcryptTail, true},
		{"bcrypt 13", "$2b$13" + bcryptTail, false},
		{"bcrypt 3", "$2b$03" + bcryptTail, false},
		{"bcrypt short", "$2b$10" + bcryptTail[:53], false},
		{"bcrypt long", "$2b$10" + bcryptTail + "a", false},
		{"bcrypt of another kind", "$2x$10" + bcryptTail, false},
		{"argon2id 64 MiB, 4 passes, 16 lanes", "$argon2id$v=19$m=65536,t=4,p=16$" + salt + "$" + sum, true},
		{"argon2id 65537 KiB", "$argon2id$v=19$m=65537,t=4,p=1$" + salt + "$" + sum, false},
		{"argon2id 5 passes", "$argon2id$v=19$m=8192,t=5,p=1$" + salt + "$" + sum, false},
		{"argon2id 17 lanes", "$argon2id$v=19$m=8192,t=1,p=17$" + salt + "$" + sum, false},
		{"argon2id no passes", "$argon2id$v=19$m=8192,t=0,p=1$" + salt + "$" + sum, false},
		{"argon2id no lanes", "$argon2id$v=19$m=8192,t=1,p=0$" + salt + "$" + sum, false},
		{"argon2id too little memory", "$argon2id$v=19$m=7,t=1,p=1$" + salt + "$" + sum, false},
		{"argon2id, order of parameters", "$argon2id$v=19$t=1,m=8192,p=1$" + salt + "$" + sum, false},
		{"argon2id, number with a zero before it", "$argon2id$v=19$m=08192,t=1,p=1$" + salt + "$" + sum, false},
		{"argon2i", "$argon2i$v=19$m=8192,t=1,p=1$" + salt + "$" + sum, false},
		{"argon2id version 16", "$argon2id$v=16$m=8192,t=1,p=1$" + salt + "$" + sum, false},
		{"argon2id, a short sum", "$argon2id$v=19$m=8192,t=1,p=1$" + salt + "$" + sum[:20], false},
		{"scrypt 64 MiB", "$scrypt$ln=16,r=8,p=1$" + salt + "$" + sum, true},
		{"scrypt 128 MiB", "$scrypt$ln=17,r=8,p=1$" + salt + "$" + sum, false},
		{"scrypt, work of 2^20", "$scrypt$ln=14,r=8,p=8$" + salt + "$" + sum, true},
		{"scrypt, work above 2^20", "$scrypt$ln=14,r=8,p=9$" + salt + "$" + sum, false},
		{"scrypt, 2^32 rounds", "$scrypt$ln=32,r=8,p=1$" + salt + "$" + sum, false},
		{"scrypt, r of 32 and p of 32", "$scrypt$ln=10,r=32,p=32$" + salt + "$" + sum, true},
		{"scrypt, r of 33", "$scrypt$ln=1,r=33,p=1$" + salt + "$" + sum, false},
		{"scrypt, p of 33", "$scrypt$ln=1,r=1,p=33$" + salt + "$" + sum, false},
		{"scrypt, huge r", "$scrypt$ln=1,r=4294967295,p=1$" + salt + "$" + sum, false},
		{"scrypt, huge p", "$scrypt$ln=1,r=1,p=4294967295$" + salt + "$" + sum, false},
		{"scrypt of Django, N no power of two", "scrypt$16385$salt$8$1$" + sum, false},
		{"PBKDF2 2,000,000", "$pbkdf2-sha256$i=2000000$" + salt + "$" + sum, true},
		{"PBKDF2 2,000,001", "$pbkdf2-sha256$i=2000001$" + salt + "$" + sum, false},
		{"PBKDF2 1,000,001, and two blocks", "$pbkdf2-sha256$i=1000001$" + salt + "$" + sum[:40] + sum[:24], false},
		{"bcrypt of other characters", "$2b$10$" + strings.Repeat("!", 53), false},
		{"Django's argon2 before something else", "argon2$pbkdf2-sha256$i=1000$" + salt + "$" + sum, false},
		{"argon2 glued to it", "argon2sha256$salt$" + strings.Repeat("ab", 32), false},
		{"PBKDF2 0", "$pbkdf2-sha256$i=0$" + salt + "$" + sum, false},
		{"PBKDF2 of SHA-1", "pbkdf2_sha1$1000$salt$" + sum, false},
		{"PBKDF2, overflow", "$pbkdf2-sha256$i=18446744073709551617$" + salt + "$" + sum, false},
		{"a salt of 65 bytes", "$pbkdf2-sha256$i=1000$" + strings.Repeat("A", 87) + "$" + sum, false},
		{"Django SHA-256 of a salt", "sha256$salt$" + strings.Repeat("ab", 32), true},
		{"Django SHA-256, too short", "sha256$salt$" + strings.Repeat("ab", 31), false},
		{"Django SHA-256 with the sum of SHA-512", "sha256$salt$" + strings.Repeat("ab", 64), false},
		{"SHA-1", strings.Repeat("ab", 20), false},
		{"MD5", strings.Repeat("ab", 16), false},
		{"nothing", "", false},
		{"dollars", "$$$$$", false},
		{"long", "$pbkdf2-sha256$i=1000$" + strings.Repeat("$", 600), false},
	} {
		d, err := ParseDigest(tt.text)
		if ok := err == nil; ok != tt.ok {
			t.Errorf("%s: %v, want ok: %t", tt.name, err, tt.ok)
		}
		if err == nil && !d.storable() {
			t.Errorf("%s: cannot be stored", tt.name)
		}
		if err != nil && !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// bcrypt reads 72 bytes and no more: a longer input is refused, not cut.
func TestBcryptCutsNothing(t *testing.T) {
	t.Parallel()
	d := foreignDigest{alg: algBcrypt, sum: []byte("$2y$10$mY7XN.YSQQxFAaoqb2zS2OnmuBjVHrEmpVbVBUJ.XoSja.DTKMP06")}
	var vectors []struct {
		Name, Token string
		Good        bool
	}
	b, err := os.ReadFile("testdata/schemes/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &vectors); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, v := range vectors {
		if v.Name == "bcrypt/php-72" || v.Name == "bcrypt/php-73" {
			seen++
			if got, err := d.matches([]byte(v.Token), nil); got != v.Good || err != nil {
				t.Errorf("%s, of %d bytes: %t, want %t", v.Name, len(v.Token), got, v.Good)
			}
		}
	}
	if seen != 2 {
		t.Errorf("%d vectors, want 2", seen)
	}
}

// fuzzSchemes are of every kind of shape.
var fuzzSchemes = []Scheme{
	{Name: "opaque", Prefix: "fm_", MinLen: 35},
	{Name: "number", Separator: '|', Number: true, HashesSecret: true, MinLen: 20, MaxLen: 80},
	{Name: "dotted", Separator: '.', Bytes: "+/=", MinLen: 20, MaxLen: 60},
	{Name: "last", Prefix: "old-", MinLen: 20, MaxLen: 64, Split: func(token string) (string, string, bool) {
		secret, locator, ok := strings.Cut(token[4:], "-")
		return locator, secret, ok && locator != "" && secret != "" && !strings.Contains(locator, "-")
	}},
}

// A token is of one shape at most, and made of its prefix, locator and secret.
func FuzzSchemeToken(f *testing.F) {
	m := &Manager{shapes: shapes{formats: []Format{Format{Prefix: "rd_sk_"}.withDefaults()}, schemes: fuzzSchemes}}
	for i := range m.schemes {
		m.schemes[i].MaxLen = max(m.schemes[i].MaxLen, m.schemes[i].MinLen)
	}
	f.Add("fm_0123456789abcdefghijABCDEFGHIJ01")
	f.Add("042|0123456789abcdefghijABCDEFGHIJ01")
	f.Fuzz(func(t *testing.T, token string) {
		of := 0
		for i := range m.schemes {
			if m.schemes[i].has(token) {
				of++
			}
		}
		if _, native := m.parse(token); native {
			of++
		}
		if of > 1 {
			t.Fatalf("%q is of %d shapes", token, of)
		}
		got, err := m.foreign(token)
		if err != nil {
			t.Fatalf("%q: %v", token, err)
		}
		if got == nil {
			return
		}
		s := got.scheme
		locator := strings.TrimPrefix(got.alias, "~"+s.Name+":")
		var whole string
		switch {
		case s.opaque():
			whole = s.Prefix + got.secret
		case s.Split != nil:
			whole = s.Prefix + got.secret + "-" + locator
		default:
			whole = s.Prefix + locator + string(rune(s.Separator)) + got.secret
		}
		if whole != token || got.secret == "" || locator == got.alias {
			t.Fatalf("%q is taken apart into %q and %q", token, got.alias, got.secret)
		}
	})
}

// An argon2id takes as many processors of the gate as it has lanes.
func TestSlowGateCountsLanes(t *testing.T) {
	t.Parallel()
	g := &slowGate{running: make(map[string]int), free: 4, most: 4}
	enter := func(id string, lanes int, want bool) {
		t.Helper()
		if got := g.enter(id, lanes); got != want {
			t.Errorf("%s with %d lanes: %t", id, lanes, got)
		}
	}
	enter("a", 3, true)
	enter("b", 2, false)
	enter("b", 1, true)
	enter("c", 1, false)
	g.leave("a")
	enter("b", 1, false) // one for each key
	enter("c", 3, true)
	g.leave("b")
	g.leave("c")
	enter("d", 16, true) // all there are
	g.leave("d")
	if g.free != 4 || len(g.running) != 0 {
		t.Errorf("at the end %d are free and %d run", g.free, len(g.running))
	}
}

// Readings of the clock that come out of order empty no cell.
func TestThrottleReadingsOutOfOrder(t *testing.T) {
	t.Parallel()
	th := newThrottle(Limit{Name: "x", N: 3, Per: time.Minute})
	peer, now := netip.MustParseAddr("192.0.2.1"), moment
	for range 3 {
		th.fail(peer, now)
	}
	for _, back := range []time.Duration{time.Microsecond, time.Second, time.Hour} {
		if wait, _ := th.over(peer, now.Add(-back)); wait <= 0 || wait > 20*time.Second {
			t.Errorf("%v earlier: waits %v, want up to the 20 s of one", back, wait)
		}
		if wait, _ := th.fail(peer, now.Add(-back)); wait <= 0 {
			t.Errorf("%v earlier: a bad one is let off", back)
		}
	}
}

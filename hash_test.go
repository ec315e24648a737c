package apikey

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"sync"
	"testing"
)

func mustPepper(t testing.TB, version uint32, key string) Pepper {
	t.Helper()
	p, err := NewPepper(version, []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestDigests(t *testing.T) {
	const key, older = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210-longer-than-that"
	plain := newHasher(nil)
	peppered := newHasher([]Pepper{mustPepper(t, 2, key), mustPepper(t, 1, older)})
	mac := func(key, token string) string {
		h := hmac.New(sha256.New, []byte(key))
		h.Write([]byte(token))
		return string(h.Sum(nil))
	}
	for _, token := range []string{"", "x", "rd_sk_" + strings.Repeat("a", 45), strings.Repeat("z", maxNativeLen)} {
		sha := sha256.Sum256([]byte(token))
		for _, tc := range []struct {
			name   string
			h      *hasher
			kind   digestKind
			pepper uint32
			want   string
			ok     bool
		}{
			{"SHA-256", plain, kindSHA256, 0, string(sha[:]), true},
			{"SHA-256 beside peppers", peppered, kindSHA256, 0, string(sha[:]), true},
			{"newest pepper", peppered, kindHMAC, 2, mac(key, token), true},
			{"older pepper", peppered, kindHMAC, 1, mac(older, token), true},
			{"pepper taken out", peppered, kindHMAC, 3, "", false},
			{"no peppers", plain, kindHMAC, 1, "", false},
			{"kind to come", plain, 99, 0, "", false},
		} {
			sum, ok := tc.h.sum(tc.kind, tc.pepper, token)
			if ok != tc.ok || ok && !equal(&sum, tc.want) {
				t.Errorf("%s of %d bytes: %x, %t; want %x, %t", tc.name, len(token), sum, ok, tc.want, tc.ok)
			}
		}
		if d := plain.digest(token); d.kind != kindSHA256 || d.sum() != string(sha[:]) || d.sum() != SumToken(token).sum() {
			t.Error("the digest of a new token is not SHA-256")
		}
		if d := peppered.digest(token); d.kind != kindHMAC || d.pepper != 2 || d.sum() != mac(key, token) {
			t.Error("the digest of a new token is not by the newest pepper")
		}
		if d, err := ParseDigest(strings.ToUpper(hex.EncodeToString(sha[:]))); err != nil || d.sum() != string(sha[:]) {
			t.Errorf("ParseDigest: %v", err)
		}
	}
	for kind, pepper := range map[digestKind]uint32{kindSHA256: 0, kindHMAC: 1} {
		if peppered.current(kind, pepper) {
			t.Errorf("kind %d of pepper %d is current", kind, pepper)
		}
	}
	if !plain.current(kindSHA256, 0) || !peppered.current(kindHMAC, 2) {
		t.Error("the kind of new digests is not current")
	}
}

// TestHasherIsShared: pooled states neither mix nor keep tokens.
func TestHasherIsShared(t *testing.T) {
	h := newHasher([]Pepper{mustPepper(t, 1, "0123456789abcdef0123456789abcdef")})
	want := h.digest("rd_sk_token").sum()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 1000 {
				h.sum(kindHMAC, 1, strings.Repeat("x", i%maxTokenBytes))
				if sum, _ := h.sum(kindHMAC, 1, "rd_sk_token"); !equal(&sum, want) {
					t.Error("states mix")
					return
				}
			}
		})
	}
	wg.Wait()
	s := h.macs[1].Get().(*macState)
	for i, b := range s.buf {
		if b != 0 {
			t.Fatalf("byte %d of a pooled buffer is left behind", i)
		}
	}
}

func TestEqual(t *testing.T) {
	sum := sha256.Sum256([]byte("x"))
	if !equal(&sum, string(sum[:])) {
		t.Error("equal digests differ")
	}
	for i := range sum {
		other := sum
		other[i] ^= 1
		if equal(&sum, string(other[:])) {
			t.Errorf("digests that differ in byte %d are equal", i)
		}
	}
	if equal(&sum, "") || equal(&sum, string(sum[:31])) {
		t.Error("a digest is equal to a shorter one")
	}
}

func TestNewPepperRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		version uint32
		key     string
	}{"version 0": {0, strings.Repeat("k", 32)}, "31 bytes": {1, strings.Repeat("k", 31)}, "none": {1, ""}} {
		if p, err := NewPepper(tc.version, []byte(tc.key)); !errors.Is(err, ErrInvalid) || p.key != nil {
			t.Errorf("%s: %v, %v", name, p, err)
		}
	}
	key := []byte(strings.Repeat("k", 32))
	p := mustPepper(t, 1, string(key))
	q, _ := NewPepper(2, key)
	clear(key)
	if string(q.key()) != string(p.key()) {
		t.Error("a Pepper shares the caller's bytes")
	}
	for _, bad := range []string{"", "00", strings.Repeat("0", 63), strings.Repeat("g", 64), strings.Repeat("0", 66)} {
		if _, err := ParseDigest(bad); !errors.Is(err, ErrInvalid) {
			t.Errorf("ParseDigest(%q): %v", bad, err)
		}
	}
}

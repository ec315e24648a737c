package apikey

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// fullKey has every field set, as far as it may be.
func fullKey() *Key {
	at := func(s int64) time.Time { return time.UnixMicro(1_700_000_000_000_000 + s*1_000_001).UTC() }
	return &Key{
		ID: "7Qx2mB4kAAAA", Alias: "~sanctum:42", Owner: "acct_42", Name: "Prödüction <b>", Description: "two\nlines", Environment: "live",
		Permissions: Permissions{"*:read", "calls:*"},
		Networks:    []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")},
		Limits:      []LimitOverride{{Limit: Limit{Name: "minute", N: 5, Per: time.Minute, Burst: 9}, Until: at(99)}, {Limit: PerHour(3)}},
		Metadata:    map[string]string{"a": "1", "b": "", "region": "eu"},
		CreatedAt:   at(1), CreatedBy: "ana", NotBefore: at(2), ExpiresAt: at(3), DisabledAt: at(4), HeldAt: at(5), RevokedAt: at(6),
		Secrets: []Secret{{N: 300, Prefix: "rg_live_", CreatedAt: at(7)}, {N: 299, Prefix: "rg_", CreatedAt: at(1), NotAfter: at(8), EndedAt: at(9)}},
		Version: 1 << 40,
	}
}

func leastKey() *Key {
	return &Key{ID: "0000000", Owner: "o", Secrets: []Secret{{N: 1}}, Version: 1}
}

func mustRecord(t testing.TB, k *Key, digests ...Digest) *Record {
	t.Helper()
	if digests == nil {
		for range k.Secrets {
			digests = append(digests, SumToken("token of "+k.ID))
		}
	}
	rec, err := NewRecord(k, digests...)
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

func TestRecordRoundTrip(t *testing.T) {
	for name, key := range map[string]*Key{"full": fullKey(), "least": leastKey()} {
		t.Run(name, func(t *testing.T) {
			rec := mustRecord(t, key)
			again, err := ParseRecord(rec.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(key, again.Key(), cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})); diff != "" {
				t.Errorf("key (-given +read):\n%s", diff)
			}
			if !bytes.Equal(rec.Bytes(), again.Bytes()) {
				t.Error("the bytes changed")
			}
			if again.ID() != key.ID || again.Owner() != key.Owner || again.Version() != key.Version || again.Alias() != key.Alias {
				t.Errorf("accessors: %q %q %d %q", again.ID(), again.Owner(), again.Version(), again.Alias())
			}
			p := key.Principal()
			for _, c := range [][2]string{
				{p.KeyID(), key.ID},
				{p.Owner(), key.Owner},
				{p.Name(), key.Name},
				{p.Environment(), key.Environment},
				{p.Metadata("region"), key.Metadata["region"]},
				{p.Metadata("none"), ""},
			} {
				if c[0] != c[1] {
					t.Errorf("principal says %q, the key %q", c[0], c[1])
				}
			}
			if diff := cmp.Diff(key.Permissions, p.permissions(), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("permissions (-given +read):\n%s", diff)
			}
		})
	}
}

// TestRecordVitals compares the short reading on the hot path with the whole.
func TestRecordVitals(t *testing.T) {
	plain := leastKey()
	plain.CreatedAt = time.UnixMicro(5).UTC()
	expiring := leastKey()
	expiring.ExpiresAt = time.UnixMicro(math.MaxInt32).UTC()
	for name, key := range map[string]*Key{"full": fullKey(), "least": leastKey(), "plain": plain, "expiring": expiring} {
		t.Run(name, func(t *testing.T) {
			rec := mustRecord(t, key)
			var v vitals
			rec.vitals(&v)
			if v.revoked == key.RevokedAt.IsZero() || v.held == key.HeldAt.IsZero() || v.disabled == key.DisabledAt.IsZero() {
				t.Errorf("ended: %+v", v)
			}
			if got := readMicro(v.expiresAt); !got.Equal(key.ExpiresAt) {
				t.Errorf("expires at %v, want %v", got, key.ExpiresAt)
			}
			if got := readMicro(v.notBefore); !got.Equal(key.NotBefore) {
				t.Errorf("not before %v, want %v", got, key.NotBefore)
			}
			if v.n != len(key.Secrets) {
				t.Fatalf("%d secrets, want %d", v.n, len(key.Secrets))
			}
			for i, s := range key.Secrets {
				got := v.secrets[i]
				if got.n != s.N || got.kind != kindSHA256 || got.pepper != 0 || got.sum != SumToken("token of "+key.ID).sum() ||
					!readMicro(got.notAfter).Equal(s.NotAfter) || got.ended == s.EndedAt.IsZero() {
					t.Errorf("secret %d: %+v, want %+v", i, got, s)
				}
			}
		})
	}
}

func readMicro(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// TestOlderReaderFailsClosed adds a field to the stored form, as a later
// version would: one that older readers must not ignore, and one that they may.
func TestOlderReaderFailsClosed(t *testing.T) {
	newer := func(oldest byte) []byte {
		b := append(mustRecord(t, fullKey()).Bytes(), "\x05a new field"...)
		b[0], b[1] = recordForm+1, oldest
		return b
	}
	if _, err := ParseRecord(newer(recordForm + 1)); !errors.Is(err, ErrNewerRecord) {
		t.Errorf("a record that demands a newer reader: %v, want ErrNewerRecord", err)
	}
	rec, err := ParseRecord(newer(recordForm))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(rec.Bytes(), newer(recordForm)) {
		t.Error("the field was lost by reading")
	}
	d := rec.decode()
	d.key.Name = "renamed"
	next, err := d.next()
	if err != nil {
		t.Fatal(err)
	}
	if b := next.Bytes(); !bytes.HasSuffix(b, []byte("\x05a new field")) || b[0] != recordForm+1 || b[1] != recordForm {
		t.Errorf("the field or its form was lost by a change: form %d, oldest %d, %q", b[0], b[1], b)
	}
	if next.Key().Name != "renamed" || next.Version() != rec.Version()+1 {
		t.Errorf("changed to %q, version %d", next.Key().Name, next.Version())
	}
}

func TestParseRecordRefuses(t *testing.T) {
	good := mustRecord(t, fullKey()).Bytes()
	for n := range good {
		if _, err := ParseRecord(good[:n]); !errors.Is(err, ErrBadRecord) {
			t.Fatalf("the first %d bytes: %v, want ErrBadRecord", n, err)
		}
	}
	edit := func(f func(b []byte) []byte) []byte { return f(bytes.Clone(good)) }
	for name, b := range map[string][]byte{
		"nil":                       nil,
		"form 0":                    edit(func(b []byte) []byte { b[0] = 0; return b }),
		"oldest 0":                  edit(func(b []byte) []byte { b[1] = 0; return b }),
		"oldest above form":         edit(func(b []byte) []byte { b[1] = 9; return b }),
		"public part elsewhere":     edit(func(b []byte) []byte { binary.BigEndian.PutUint16(b[2:], 5); return b }),
		"public part past the end":  edit(func(b []byte) []byte { binary.BigEndian.PutUint16(b[2:], 60000); return b }),
		"huge count":                append([]byte{1, 1, 0, 9, 0, 0, 0, 0, 0}, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1),
		"a number not in its least": append([]byte{1, 1, 0, 9, 0x80, 0}, good[5:]...),
	} {
		t.Run(name, func(t *testing.T) {
			if rec, err := ParseRecord(b); !errors.Is(err, ErrBadRecord) {
				t.Errorf("%v, %v; want ErrBadRecord", rec, err)
			}
		})
	}
}

func TestNewRecordRefuses(t *testing.T) {
	digest := SumToken("x")
	for name, change := range map[string]func(k *Key) []Digest{
		"no digest":   func(*Key) []Digest { return nil },
		"zero digest": func(*Key) []Digest { return []Digest{{}, {}} },
		"three secrets": func(k *Key) []Digest {
			k.Secrets = append(k.Secrets, Secret{N: 1})
			return []Digest{digest, digest, digest}
		},
		"no secret":     func(k *Key) []Digest { k.Secrets = nil; return nil },
		"no owner":      func(k *Key) []Digest { k.Owner = ""; return []Digest{digest, digest} },
		"control owner": func(k *Key) []Digest { k.Owner = "a\x00"; return []Digest{digest, digest} },
		"no ID":         func(k *Key) []Digest { k.ID = ""; return []Digest{digest, digest} },
		"version 0":     func(k *Key) []Digest { k.Version = 0; return []Digest{digest, digest} },
		"year 10000": func(k *Key) []Digest {
			k.ExpiresAt = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
			return []Digest{digest, digest}
		},
		"year 300000": func(k *Key) []Digest {
			k.ExpiresAt = time.Date(300000, 1, 1, 0, 0, 0, 0, time.UTC)
			return []Digest{digest, digest}
		},
		"before 1970": func(k *Key) []Digest {
			k.CreatedAt = time.Date(1969, 1, 1, 0, 0, 0, 0, time.UTC)
			return []Digest{digest, digest}
		},
		"nanoseconds":    func(k *Key) []Digest { k.CreatedAt = k.CreatedAt.Add(1); return []Digest{digest, digest} },
		"negative limit": func(k *Key) []Digest { k.Limits[0].N = -1; return []Digest{digest, digest} },
	} {
		t.Run(name, func(t *testing.T) {
			k := fullKey()
			digests := change(k)
			if rec, err := NewRecord(k, digests...); !errors.Is(err, ErrInvalid) {
				t.Errorf("%v, %v; want ErrInvalid", rec, err)
			}
		})
	}
}

func FuzzParseRecord(f *testing.F) {
	f.Add(mustRecord(f, fullKey()).Bytes())
	f.Add(mustRecord(f, leastKey()).Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		rec, err := ParseRecord(b)
		if err != nil {
			if !errors.Is(err, ErrBadRecord) && !errors.Is(err, ErrNewerRecord) {
				t.Fatalf("unknown error %v", err)
			}
			return
		}
		if !bytes.Equal(rec.Bytes(), b) {
			t.Fatal("the bytes changed")
		}
		d := rec.decode()
		again, err := d.record()
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		if !bytes.Equal(again.Bytes(), b) {
			t.Fatalf("written again it differs:\n%q\n%q", b, again.Bytes())
		}
		var v vitals
		rec.vitals(&v)
		if v.n != len(d.key.Secrets) || v.revoked == d.key.RevokedAt.IsZero() {
			t.Errorf("the short reading differs: %+v", v)
		}
	})
}

// BenchmarkParseRecord is held to 2 µs, since a database store pays it on
// every request.
func BenchmarkParseRecord(b *testing.B) {
	key := fullKey()
	key.Limits, key.Secrets = nil, key.Secrets[:1]
	bytes := mustRecord(b, key).Bytes()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseRecord(bytes); err != nil {
			b.Fatal(err)
		}
	}
}

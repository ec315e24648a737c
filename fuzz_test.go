package apikey

import (
	"errors"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// The targets here go the other way from those that stand beside each parser:
// they write what is well-formed, and know what must be read.

// fill is n digits of base62 that b decides.
func fill(b []byte, n int) string {
	out := []byte(strings.Repeat("0", n))
	for i := range min(n, len(b)) {
		out[i] = base62[int(b[i])%len(base62)]
	}
	return string(out)
}

// FuzzTokenWritten: every token that is written well is read by its own format
// alone, and none that differs from it in one byte, nor one of other bytes
// whose checksum is right.
func FuzzTokenWritten(f *testing.F) {
	f.Add(uint8(0), []byte("id"), []byte("secret"), uint8(7), byte('x'))
	f.Fuzz(func(t *testing.T, which uint8, id, secret []byte, at uint8, c byte) {
		own := int(which) % len(published)
		format := &published[own]
		wantID := fill(id, format.IDLen)
		token := format.Prefix + wantID + fill(secret, format.SecretLen)
		token += checksum(token)
		i := int(at) % len(token)
		other := token[:i] + string([]byte{c}) + token[i+1:]
		for j := range published {
			if gotID, ok := published[j].parse(token); ok != (j == own) || ok && gotID != wantID {
				t.Errorf("%s parses %q as %q, %t", published[j].Prefix, token, gotID, ok)
			}
			if gotID, ok := published[j].parse(other); ok && other != token {
				t.Errorf("%s parses %q as %q, which differs from %q in byte %d", published[j].Prefix, other, gotID, token, i)
			}
		}
		body := other[:len(other)-checksumLen]
		wanted := strings.HasPrefix(body, format.Prefix) && isWord.MatchString(body[len(format.Prefix):])
		if gotID, ok := format.parse(body + checksum(body)); ok != wanted {
			t.Errorf("%s parses %q with its checksum as %q, %t, want %t", format.Prefix, body, gotID, ok, wanted)
		}
	})
}

var (
	isWord  = regexp.MustCompile(`\A[0-9A-Za-z]+\z`)
	token68 = regexp.MustCompile(`\A[0-9A-Za-z._~+/-]+=*\z`)
)

// FuzzCredentialWritten: a value gives what the grammar says, and the same one
// in whatever way it is sent.
func FuzzCredentialWritten(f *testing.F) {
	f.Add("rd_sk_x", uint8(0))
	f.Add(" \t", uint8(3))
	f.Add("\u00a0k=", uint8(9))
	h := rules(f, HTTPConfig{})
	f.Fuzz(func(t *testing.T, value string, spaces uint8) {
		before := strings.Repeat(" \t", int(spaces&3))
		after := strings.Repeat("\t ", int(spaces>>2&3))
		want := strings.Trim(value, " \t")
		reason := ReasonMalformedRequest
		if len(want) <= maxTokenBytes && token68.MatchString(want) {
			reason = ""
		}
		for _, tc := range []struct {
			header, value string
			reason        Reason
		}{
			{"Authorization", "Bearer " + value, reason},
			{"Authorization", before + "bEARER " + before + value + after, reason},
			{"X-Api-Key", value, reason},
			{"X-Api-Key", before + value + after, reason},
		} {
			if want == "" && tc.header == "X-Api-Key" {
				tc.reason = ReasonEmpty
			}
			token, _, got := h.credential(http.Header{tc.header: {tc.value}}, &shapes{formats: published}, false)
			if got != tc.reason || got == "" && token != want || got != "" && token != "" {
				t.Errorf("%s: %q is read as %q, %q; want %q, %q", tc.header, tc.value, token, got, want, tc.reason)
			}
		}
		both := http.Header{"Authorization": {"Bearer " + value}, "X-Api-Key": {value}}
		if token, _, got := h.credential(both, &shapes{formats: published}, false); got != ReasonMalformedRequest || token != "" {
			t.Errorf("%q in both headers is read as %q, %q", value, token, got)
		}
	})
}

// hop is an address of a forwarding header, and how it is written.
type hop struct {
	addr  netip.Addr
	style byte
}

// hopsOf reads hops from b: a byte of style, which says if it is a trusted
// proxy's, then four or sixteen of address.
func hopsOf(b []byte) (hops []hop) {
	for len(b) > 16 && len(hops) < 40 {
		style := b[0]
		a := [16]byte(b[1:17])
		b = b[17:]
		addr := netip.AddrFrom16(a).Unmap()
		switch style & 3 {
		case 0:
			addr = netip.AddrFrom4([4]byte(a[:4]))
		case 1:
			addr = netip.AddrFrom4([4]byte{10, a[0], a[1], a[2]}) // a proxy
		}
		hops = append(hops, hop{addr, style >> 2})
	}
	return hops
}

// write gives the hop as X-Forwarded-For and as Forwarded have it.
func (h hop) write() (x, forwarded string) {
	s := h.addr.String()
	switch {
	case h.style&1 != 0:
		s = netip.AddrPortFrom(h.addr, 4711).String()
	case h.style&2 != 0 && h.addr.Is4():
		s = "::ffff:" + s
	case h.style&2 != 0:
		s = "[" + s + "]"
	}
	value := `"` + s + `"`
	if h.style&4 != 0 {
		value = `"\` + s + `"`
	}
	if h.style&8 != 0 && h.addr.Is4() && h.style&3 == 0 {
		value = s // a token, as RFC 7239 lets an IPv4 address be
	}
	pair := "for=" + value
	if h.style&16 != 0 {
		pair = `proto=https; FOR=` + value + `;by="a,;\""`
	}
	return s, pair
}

// FuzzForwardedWritten: of a chain that is written well, in either header or in
// both, the judged address is the rightmost that is no proxy's, else the
// leftmost; and nothing is judged where the last entry cannot be read.
func FuzzForwardedWritten(f *testing.F) {
	f.Add([]byte("\x00aaaaaaaaaaaaaaaa\x01bbbbbbbbbbbbbbbb"), uint8(1))
	h := proxyRules(f, "10.0.0.0/8")
	own := netip.MustParseAddr("10.0.0.1")
	f.Fuzz(func(t *testing.T, b []byte, lines uint8) {
		hops := hopsOf(b)
		if len(hops) == 0 {
			return
		}
		want := hops[0].addr
		var xs, fs []string
		for _, hop := range hops {
			if a := hop.addr; !a.Is4() || a.As4()[0] != 10 {
				want = a
			}
			x, forwarded := hop.write()
			xs, fs = append(xs, x), append(fs, forwarded)
		}
		x, fwd := joinLines(xs, lines), joinLines(fs, lines>>4)
		for _, tc := range []struct {
			name   string
			header http.Header
			want   netip.Addr
		}{
			{"X-Forwarded-For", http.Header{"X-Forwarded-For": x}, want},
			{"Forwarded", http.Header{"Forwarded": fwd}, want},
			{"both", http.Header{"X-Forwarded-For": x, "Forwarded": fwd}, want},
			{"X-Forwarded-For and garbage", http.Header{"X-Forwarded-For": append(slices.Clone(x), "unknown")}, own},
			{"Forwarded and garbage", http.Header{"Forwarded": append(slices.Clone(fwd), "for=unknown")}, own},
			{"both, one garbage", http.Header{"X-Forwarded-For": x, "Forwarded": {"for"}}, own},
			{"both, and they differ", http.Header{"X-Forwarded-For": x, "Forwarded": {`for="` + want.Next().String() + `"`}}, own},
		} {
			if tc.name == "both, and they differ" && (!want.Next().IsValid() || want.Next().Is6()) {
				continue // written without brackets
			}
			if len(strings.Join(tc.header["X-Forwarded-For"], ",")) > maxForwarded || len(strings.Join(tc.header["Forwarded"], ",")) > maxForwarded {
				tc.want = own
			}
			got := h.peer(&http.Request{RemoteAddr: "10.0.0.1:1", Header: tc.header})
			if got != tc.want {
				t.Errorf("%s: %v, want %v, of %q", tc.name, got, tc.want, tc.header)
			}
		}
	})
}

// joinLines spreads items over the lines of a header.
func joinLines(items []string, bits uint8) []string {
	lines := items[:1:1]
	for i, item := range items[1:] {
		if bits>>(i%4)&1 != 0 {
			lines = append(lines, item)
			continue
		}
		lines[len(lines)-1] += " ,\t" + item
	}
	return lines
}

// FuzzCursorWritten: a position is read back where it belongs, and nowhere else.
func FuzzCursorWritten(f *testing.F) {
	f.Add("acct_42", "ci", int64(1_700_000_000_000_001), []byte("7Qx2mB4k"), uint8(12), uint8(3))
	f.Fuzz(func(t *testing.T, owner, text string, us int64, id []byte, idLen, at uint8) {
		created, wantID := time.UnixMicro(us).UTC(), fill(id, minIDLen+int(idLen)%(maxIDLen-minIDLen+1))
		q := Query{Owner: owner, Text: text}
		q.After = q.CursorAt(created, wantID)
		if got, gotID, err := q.Position(); err != nil || !got.Equal(created) || gotID != wantID {
			t.Errorf("%v %q is written %q, which is read as %v %q, %v", created, wantID, q.After, got, gotID, err)
		}
		flipped := []byte(q.After)
		flipped[int(at)%len(flipped)] ^= 1
		for name, other := range map[string]Query{
			"another owner": {Owner: owner + "x", Text: text, After: q.After},
			"another text":  {Owner: owner, Text: text + "x", After: q.After},
			"all owners":    {Owner: owner, AllOwners: true, Text: text, After: q.After},
			"a flipped bit": {Owner: owner, Text: text, After: Cursor(flipped)},
		} {
			if got, gotID, err := other.Position(); !errors.Is(err, ErrInvalid) {
				t.Errorf("%s: %q is read as %v %q, %v", name, other.After, got, gotID, err)
			}
		}
		h := HistoryQuery{Owner: owner, After: q.After}
		if n, err := h.Position(); !errors.Is(err, ErrInvalid) {
			t.Errorf("a cursor of keys is read as change %d, %v", n, err)
		}
	})
}

// networksOf reads networks from b: a byte whose lowest bit says IPv4, the rest
// of it and the next how many bits, then sixteen of address.
func networksOf(b []byte) (networks []netip.Prefix) {
	for len(b) > 17 && len(networks) < maxNetworks {
		bits, a := int(b[1]), [16]byte(b[2:18])
		addr := netip.AddrFrom16(a)
		if b[0]&1 != 0 {
			addr = netip.AddrFrom4([4]byte(a[:4]))
		}
		networks = append(networks, netip.PrefixFrom(addr, bits%(addr.BitLen()+1)))
		b = b[18:]
	}
	return networks
}

// within is what it means for a network to have an address, bit by bit. Both
// may be IPv4 mapped into IPv6.
func within(n netip.Prefix, a netip.Addr) bool {
	bits := n.Bits()
	if n.Addr().Is4() {
		bits += 96
	}
	if n.Addr().Unmap().Is4() != a.Unmap().Is4() {
		return false
	}
	x, y := n.Addr().As16(), a.As16()
	for i := range bits {
		if (x[i/8]^y[i/8])>>(7-i%8)&1 != 0 {
			return false
		}
	}
	return true
}

// FuzzNetworks: networks that are taken are stored, read back equal and admit
// whom they have; and of bytes that are no list of networks nothing is admitted
// but what is written again as it was read.
func FuzzNetworks(f *testing.F) {
	f.Add([]byte("\x01\x18aaaaaaaaaaaaaaaa\x00\x30bbbbbbbbbbbbbbbb"), uint8(0), uint8(23), "\x01\x05aaaa\x18")
	f.Fuzz(func(t *testing.T, b []byte, pick, flip uint8, raw string) {
		checkRawNetworks(t, raw)
		given := networksOf(b)
		var fs faults
		taken := checkNetworks(given, &fs, "Networks")
		if fs != nil {
			wide := func(n netip.Prefix) bool { return n.Addr().Is4In6() && n.Bits() < 96 }
			if !slices.ContainsFunc(given, wide) {
				t.Errorf("%v are refused: %v", given, fs)
			}
			return
		}
		if i := slices.IndexFunc(taken, func(n netip.Prefix) bool { return n != n.Masked() }); i >= 0 {
			t.Errorf("%v has bits outside of its mask", taken[i])
		}
		k := leastKey()
		k.Networks = taken
		rec, err := ParseRecord(mustRecord(t, k).Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if got := rec.Key().Networks; !slices.Equal(got, taken) {
			t.Errorf("%v are read as %v", taken, got)
		}
		var v vitals
		rec.vitals(&v)
		if (v.networks == "") != (len(given) == 0) {
			t.Errorf("%v are stored as %q", given, v.networks)
		}
		if len(given) == 0 {
			return
		}
		peer := flipBit(given[int(pick)%len(given)].Addr(), int(flip))
		want := slices.ContainsFunc(given, func(n netip.Prefix) bool { return within(n, peer) })
		if got := admits(v.networks, peer); got != want {
			t.Errorf("%v admit %v: %t, want %t", given, peer, got, want)
		}
	})
}

// checkRawNetworks reads what need not be a list of networks.
func checkRawNetworks(t *testing.T, raw string) {
	t.Helper()
	p := reader{s: raw}
	admitted := false
	for range p.count(maxNetworks) {
		start := p.i
		n, ok := p.network()
		if !ok {
			continue
		}
		if written := string(appendString(nil, string(append(n.Addr().AsSlice(), byte(n.Bits()))))); !n.IsValid() || written != raw[start:p.i] {
			t.Errorf("%q is read as %v, which is written %q", raw[start:p.i], n, written)
		}
		admitted = admitted || within(n, netip.IPv6Loopback())
	}
	if got := admits(raw, netip.IPv6Loopback()); got != admitted {
		t.Errorf("%q admits ::1: %t, want %t", raw, got, admitted)
	}
}

// flipBit gives a with one bit the other way round.
func flipBit(a netip.Addr, bit int) netip.Addr {
	b := a.AsSlice()
	bit %= len(b) * 8
	b[bit/8] ^= 1 << (7 - bit%8)
	flipped, _ := netip.AddrFromSlice(b) // of 4 or 16 bytes
	return flipped
}

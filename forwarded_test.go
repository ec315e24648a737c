package apikey

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

func proxyRules(t testing.TB, proxies ...string) *httpRules {
	var c HTTPConfig
	for _, p := range proxies {
		c.TrustedProxies = append(c.TrustedProxies, netip.MustParsePrefix(p))
	}
	return rules(t, c)
}

func TestPeer(t *testing.T) {
	const proxy, client = "10.0.0.1:4711", "198.51.100.7"
	trusted := proxyRules(t, "10.0.0.0/8", "2001:db8:ffff::/48")
	for _, tc := range []struct {
		name      string
		rules     *httpRules
		remote    string
		x         []string // X-Forwarded-For
		forwarded []string
		want      string // "": not known
	}{
		{name: "no header", remote: proxy, want: "10.0.0.1"},
		{name: "no address", remote: "@", want: ""},
		{name: "IPv4 mapped", remote: "[::ffff:198.51.100.7]:1", want: client},
		{name: "nobody is trusted", rules: rules(t, HTTPConfig{}), remote: proxy, x: []string{client}, want: "10.0.0.1"},
		{name: "a stranger's header", remote: "203.0.113.9:1", x: []string{client}, want: "203.0.113.9"},
		{name: "one hop", remote: proxy, x: []string{client}, want: client},
		{name: "hop with port", remote: proxy, x: []string{client + ":99"}, want: client},
		{name: "IPv6", remote: "[2001:db8:ffff::1]:1", x: []string{"2001:db8::7"}, want: "2001:db8::7"},
		{name: "IPv6 in brackets", remote: proxy, x: []string{"[2001:db8::7]"}, want: "2001:db8::7"},
		{name: "IPv6 with port", remote: proxy, x: []string{"[2001:db8::7]:99"}, want: "2001:db8::7"},
		{name: "mapped hop", remote: proxy, x: []string{"::ffff:198.51.100.7"}, want: client},
		{name: "what the client claims is left of it", remote: proxy, x: []string{"192.0.2.1, " + client}, want: client},
		{name: "through two proxies", remote: proxy, x: []string{"192.0.2.1," + client + ",10.9.9.9"}, want: client},
		{name: "several lines are one", remote: proxy, x: []string{"192.0.2.1", client, "10.9.9.9"}, want: client},
		{name: "proxies all the way", remote: proxy, x: []string{"10.1.1.1, 10.2.2.2"}, want: "10.1.1.1"},
		{name: "garbage", remote: proxy, x: []string{"garbage"}, want: "10.0.0.1"},
		{name: "garbage left of what is judged", remote: proxy, x: []string{"garbage, " + client}, want: client},
		{name: "empty hop", remote: proxy, x: []string{client + ","}, want: "10.0.0.1"},
		{name: "empty header", remote: proxy, x: []string{""}, want: "10.0.0.1"},
		{name: "zone", remote: proxy, x: []string{"fe80::1%eth0"}, want: "10.0.0.1"},
		{name: "IPv4 in brackets", remote: proxy, x: []string{"[198.51.100.7]"}, want: "10.0.0.1"},
		{name: "half a bracket", remote: proxy, x: []string{"[2001:db8::7"}, want: "10.0.0.1"},
		{name: "too long", remote: proxy, x: []string{strings.Repeat("192.0.2.1,", 410) + client}, want: "10.0.0.1"},
		{name: "Forwarded", remote: proxy, forwarded: []string{"for=" + client + ";proto=https;by=10.0.0.1"}, want: client},
		{name: "Forwarded, any case", remote: proxy, forwarded: []string{"By=x; FOR=" + client}, want: client},
		{name: "Forwarded, quoted IPv6", remote: proxy, forwarded: []string{`for="[2001:db8::7]:4711"`}, want: "2001:db8::7"},
		{name: "Forwarded, two hops", remote: proxy, forwarded: []string{`for=192.0.2.1;host="a,b;c", for=` + client, "for=10.9.9.9"}, want: client},
		{name: "Forwarded, escaped", remote: proxy, forwarded: []string{`for="198.51.100\.7"`}, want: client},
		{name: "Forwarded, unknown", remote: proxy, forwarded: []string{"for=unknown"}, want: "10.0.0.1"},
		{name: "Forwarded, hidden", remote: proxy, forwarded: []string{"for=_secret"}, want: "10.0.0.1"},
		{name: "Forwarded without for", remote: proxy, forwarded: []string{"proto=https"}, want: "10.0.0.1"},
		{name: "Forwarded with two for", remote: proxy, forwarded: []string{"for=192.0.2.1;for=" + client}, want: "10.0.0.1"},
		{name: "Forwarded, open quote", remote: proxy, forwarded: []string{`for="198.51.100.7`}, want: "10.0.0.1"},
		{name: "Forwarded, two values", remote: proxy, forwarded: []string{"for=198.51.100.7 192.0.2.1"}, want: "10.0.0.1"},
		{name: "both agree", remote: proxy, x: []string{client}, forwarded: []string{"for=" + client}, want: client},
		{name: "both differ", remote: proxy, x: []string{client}, forwarded: []string{"for=192.0.2.1"}, want: "10.0.0.1"},
		{name: "one cannot be read", remote: proxy, x: []string{client}, forwarded: []string{"x"}, want: "10.0.0.1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.rules == nil {
				tc.rules = trusted
			}
			r := &http.Request{RemoteAddr: tc.remote, Header: http.Header{}}
			if tc.x != nil {
				r.Header["X-Forwarded-For"] = tc.x
			}
			if tc.forwarded != nil {
				r.Header["Forwarded"] = tc.forwarded
			}
			var want netip.Addr
			if tc.want != "" {
				want = netip.MustParseAddr(tc.want)
			}
			if got := tc.rules.peer(r); got != want {
				t.Errorf("%v, want %v", got, want)
			}
		})
	}
}

// FuzzForwarded: whatever the headers are, the peer is the proxy itself or an
// address that one of them names; and a chain that is written well is read.
func FuzzForwarded(f *testing.F) {
	f.Add("192.0.2.1, 198.51.100.7", "", uint32(7))
	f.Add("", `for="[2001:db8::7]:4711";by=x`, uint32(0xc6336407))
	f.Add("10.0.0.9", "for=10.0.0.9, for=unknown", uint32(1))
	h := proxyRules(f, "10.0.0.0/8")
	f.Fuzz(func(t *testing.T, x, forwarded string, n uint32) {
		r := &http.Request{RemoteAddr: "10.0.0.1:1", Header: http.Header{}}
		if x != "" {
			r.Header["X-Forwarded-For"] = []string{x}
		}
		if forwarded != "" {
			r.Header["Forwarded"] = []string{forwarded}
		}
		got := h.peer(r)
		if !got.IsValid() || got.Is4In6() || got.Zone() != "" {
			t.Fatalf("%v is no plain address", got)
		}
		if x == "" && forwarded == "" && got != netip.MustParseAddr("10.0.0.1") {
			t.Fatalf("%v of nothing", got)
		}
		client := netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
		if h.trusts(client) {
			return
		}
		// Whatever the client sent, the proxy's own entry decides.
		r.Header = http.Header{"X-Forwarded-For": {x, client.String()}}
		if got := h.peer(r); got != client && len(x) < maxForwarded-20 {
			t.Fatalf("%v, want %v, of %q", got, client, r.Header)
		}
	})
}

package apikey

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// peer is whom a request comes from: the other end of the connection, or, where
// that is a trusted proxy, whom it says. The zero Addr: the server does not say.
//
// Forwarding headers are read from right to left, as each proxy appends what it
// saw: the first address that is no trusted proxy's is the one judged; what
// stands to its left is hearsay. Whatever cannot be read, or differs between
// X-Forwarded-For and Forwarded (RFC 7239) where both are there, so that nobody
// knows which of them the proxy wrote, leaves the proxy's own address.
func (h *httpRules) peer(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	own := ap.Addr().Unmap()
	if !h.trusts(own) {
		return own
	}
	x, xok := h.judge(r.Header["X-Forwarded-For"], splitForwardedFor)
	f, fok := h.judge(r.Header["Forwarded"], splitForwarded)
	switch {
	case !xok || !fok:
		return own
	case !x.IsValid():
		x = f
	case f.IsValid() && x != f:
		return own
	}
	if !x.IsValid() {
		return own
	}
	return x
}

func (h *httpRules) trusts(a netip.Addr) bool {
	return slices.ContainsFunc(h.proxies, func(p netip.Prefix) bool { return p.Contains(a) })
}

// maxForwarded bounds the bytes of a forwarding header that are looked at.
const maxForwarded = 4096

// judge is the address that the lines of one header name, joined; the zero
// Addr if there are none. It reports false if they cannot be read that far.
func (h *httpRules) judge(lines []string, split func(string) ([]string, bool)) (a netip.Addr, ok bool) {
	all := strings.Join(lines, ",")
	if len(lines) == 0 {
		return a, true
	}
	if len(all) > maxForwarded {
		return a, false
	}
	hops, ok := split(all)
	if !ok {
		return a, false
	}
	for _, hop := range slices.Backward(hops) {
		if a, ok = parseHop(hop); !ok {
			return netip.Addr{}, false
		}
		if !h.trusts(a) {
			break
		}
	}
	return a, true
}

// splitForwardedFor gives the hops of an X-Forwarded-For.
func splitForwardedFor(s string) ([]string, bool) { return strings.Split(s, ","), true }

// splitForwarded gives the "for" of each element of a Forwarded (RFC 7239, 4);
// false if an element has none, or two, or is badly formed.
func splitForwarded(s string) (hops []string, ok bool) {
	for {
		hop, rest, ok := forwardedElement(s)
		if !ok {
			return nil, false
		}
		hops = append(hops, hop)
		if rest == "" {
			return hops, true
		}
		s = rest[1:] // the comma
	}
}

// forwardedElement reads pairs up to a comma, which it leaves, or the end.
func forwardedElement(s string) (hop, rest string, ok bool) {
	found := false
	for {
		s = trimSpace(s)
		i := strings.IndexByte(s, '=')
		if i <= 0 || strings.ContainsFunc(s[:i], func(r rune) bool { return r > 0x7f || !isTchar(byte(r)) }) {
			return "", "", false
		}
		name := s[:i]
		value, after, ok := forwardedValue(s[i+1:])
		if !ok {
			return "", "", false
		}
		if equalASCII(name, "for") {
			if found {
				return "", "", false
			}
			hop, found = value, true
		}
		after = trimSpace(after)
		if after == "" || after[0] == ',' {
			return hop, after, found
		}
		if after[0] != ';' {
			return "", "", false
		}
		s = after[1:]
	}
}

// forwardedValue reads a token or a quoted string.
func forwardedValue(s string) (value, rest string, ok bool) {
	if s != "" && s[0] == '"' {
		var b strings.Builder
		for i := 1; i < len(s); i++ {
			switch c := s[i]; {
			case c == '"':
				return b.String(), s[i+1:], true
			case c == '\\' && i+1 < len(s):
				i++
				b.WriteByte(s[i])
			default:
				b.WriteByte(c)
			}
		}
		return "", "", false
	}
	end := 0
	for end < len(s) && isTchar(s[end]) {
		end++
	}
	return s[:end], s[end:], end > 0
}

// parseHop reads an address, with or without a port, an IPv6 one also in
// brackets. Names, "unknown" and zones are not addresses.
func parseHop(s string) (netip.Addr, bool) {
	s = trimSpace(s)
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	if err != nil || strings.HasPrefix(s, "[") != strings.HasSuffix(s, "]") || strings.HasPrefix(s, "[") && !a.Is6() {
		ap, err := netip.ParseAddrPort(s)
		if err != nil {
			return netip.Addr{}, false
		}
		a = ap.Addr()
	}
	return a.Unmap(), a.Zone() == ""
}

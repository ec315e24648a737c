package apikey

import (
	"net/http"
	"strings"
)

// Source is one place where a request may carry its token.
type Source struct {
	header string // as net/http spells it
	scheme string // of an Authorization header; "": the value is the token
}

// Bearer is "Authorization: Bearer <token>" (RFC 6750, 2.1), whose scheme is
// written in any case (RFC 9110, 11.1).
func Bearer() Source { return Authorization("Bearer") }

// Authorization is an Authorization header of another scheme, such as the
// "Api-Key <token>" that clients of another system send. It may stand beside
// Bearer, as another source of the same header. For a bare token in it, use
// Header("Authorization").
func Authorization(scheme string) Source { return Source{header: "Authorization", scheme: scheme} }

// Header is a header whose whole value is the token, such as X-Api-Key.
func Header(name string) Source { return Source{header: http.CanonicalHeaderKey(name)} }

// credential finds the one token of a request, and the key's ID in it if it is a
// well-formed one of ours. A reason says why there is none; it is ReasonMissing
// only if no field that could hold one is there.
//
// It is strict, because what two readers of a request understand differently
// is how one of them is deceived: one header line for each source, one token
// in all, no quotes, no folding, no white space but SP and HTAB around a value.
func (h *httpRules) credential(header http.Header, known *shapes, skipForeign bool) (token, id string, reason Reason) {
	reason = ReasonMissing
	for i := range h.sources {
		s := &h.sources[i]
		lines := header[s.header]
		if len(lines) == 0 {
			continue
		}
		if len(lines) > 1 {
			return "", "", ReasonMalformedRequest
		}
		found, why := s.read(lines[0])
		native, ours := "", false
		if why == "" {
			native, ours = known.parse(found)
		}
		switch {
		case why == ReasonMalformedRequest:
			return "", "", why
		case why == ReasonUnsupportedScheme && h.otherReads(s, lines[0]):
			continue
		case why != "":
			if reason == ReasonMissing || reason == ReasonEmpty {
				reason = why
			}
			continue
		case !ours && skipForeign && s.scheme != "" && !known.claim(found) && (len(found) > maxTokenBytes || isToken68(found)):
			continue
		case token != "", !ours && !known.mayRead(found):
			return "", "", ReasonMalformedRequest
		}
		token, id = found, native
	}
	if token != "" {
		return token, id, ""
	}
	return "", "", reason
}

// otherReads reports whether another source takes the scheme of a value of s's
// header.
func (h *httpRules) otherReads(s *Source, value string) bool {
	for i := range h.sources {
		if o := &h.sources[i]; o != s && o.header == s.header {
			if _, why := o.read(value); why != ReasonUnsupportedScheme {
				return true
			}
		}
	}
	return false
}

// read finds the token in a header value.
func (s *Source) read(value string) (token string, reason Reason) {
	value = trimSpace(value)
	if value == "" {
		return "", ReasonEmpty
	}
	if s.scheme == "" {
		return value, ""
	}
	if rest, ok := strings.CutPrefix(value, s.scheme); ok && rest != "" && rest[0] == ' ' { // as nearly everybody writes it; there is more than the spaces, for value ends in something else
		return trimSpace(rest), ""
	}
	scheme, rest := value, ""
	if i := strings.IndexByte(value, ' '); i >= 0 {
		scheme, rest = value[:i], trimSpace(value[i:])
	}
	if !equalASCII(scheme, s.scheme) {
		for i := range min(len(scheme), maxTokenBytes) {
			if !isTchar(scheme[i]) {
				return "", ReasonMalformedRequest
			}
		}
		return "", ReasonUnsupportedScheme
	}
	if rest == "" {
		return "", ReasonMalformedRequest
	}
	return rest, ""
}

// shapes are those of all tokens that a Manager knows.
type shapes struct {
	formats []Format
	schemes []Scheme
}

// parse finds the key's ID in a token of one of the formats.
func (k *shapes) parse(token string) (id string, ok bool) {
	for i := range k.formats {
		if id, ok := k.formats[i].parse(token); ok {
			return id, true
		}
	}
	return "", false
}

// mayRead reports whether token, which is not a well-formed one of ours, is
// written as a credential may be.
func (k *shapes) mayRead(token string) bool {
	return len(token) <= maxTokenBytes && (isToken68(token) || k.hasForeign(token))
}

// claim reports whether token begins as one of ours does, or has the shape of
// one of a Scheme.
func (k *shapes) claim(token string) bool {
	for i := range k.formats {
		if strings.HasPrefix(token, k.formats[i].Prefix) {
			return true
		}
	}
	for i := range k.schemes {
		if p := k.schemes[i].Prefix; p != "" && strings.HasPrefix(token, p) {
			return true
		}
	}
	return k.hasForeign(token)
}

// hasForeign reports whether token has the shape of one of a Scheme.
func (k *shapes) hasForeign(token string) bool {
	for i := range k.schemes {
		if k.schemes[i].has(token) {
			return true
		}
	}
	return false
}

// trimSpace trims SP and HTAB, and nothing that only Unicode calls a space.
// HTTP/2 hands values over untrimmed.
func trimSpace(s string) string {
	for s != "" && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for s != "" && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}

// equalASCII compares without regard to the case of ASCII letters alone;
// strings.EqualFold would take the Kelvin sign for a k.
func equalASCII(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

// isToken68 is the syntax of a token in a header (RFC 9110, 11.2).
func isToken68(s string) bool {
	body := strings.TrimRight(s, "=")
	for i := range len(body) {
		if classes[body[i]]&classToken68 == 0 {
			return false
		}
	}
	return body != ""
}

// isTchar is a character of a token in HTTP's sense (RFC 9110, 5.6.2).
func isTchar(c byte) bool { return classes[c]&classTchar != 0 }

const (
	classToken68 = 1 << iota
	classTchar
)

var classes = func() (t [256]byte) {
	for _, c := range base62 + "-._~+/" {
		t[c] |= classToken68
	}
	for _, c := range base62 + "!#$%&'*+-.^_`|~" {
		t[c] |= classTchar
	}
	return t
}()

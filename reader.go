package apikey

import "time"

// reader reads the stored form. Past the end, or where a number is not in its
// shortest form, it goes bad and gives zeros from then on.
type reader struct {
	s   string
	i   int
	bad bool
}

func (p *reader) uint() uint64 {
	if p.i < len(p.s) && p.s[p.i] < 0x80 {
		p.i++
		return uint64(p.s[p.i-1])
	}
	return p.longUint()
}

func (p *reader) longUint() (v uint64) {
	for shift := 0; p.i < len(p.s) && !p.bad; shift += 7 {
		c := p.s[p.i]
		p.i++
		if shift == 63 && c > 1 || shift > 63 {
			break
		}
		v |= uint64(c&0x7f) << shift
		if c < 0x80 {
			if c == 0 && shift > 0 {
				break
			}
			return v
		}
	}
	p.bad, p.i = true, len(p.s)
	return 0
}

func (p *reader) uint32() uint32 {
	v := p.uint()
	p.bad = p.bad || v > 1<<32-1
	return uint32(v)
}

// count reads how many items follow, each of at least one byte.
func (p *reader) count(most int) int {
	n := p.uint()
	if n > uint64(most) || n > uint64(len(p.s)-p.i) {
		p.bad, p.i = true, len(p.s)
		return 0
	}
	return int(n)
}

func (p *reader) str() string {
	if i := p.i + 1; i <= len(p.s) { // nearly all are short
		if end := i + int(p.s[p.i]); p.s[p.i] < 0x80 && end <= len(p.s) {
			p.i = end
			return p.s[i:end]
		}
	}
	return p.longStr()
}

func (p *reader) longStr() string {
	n := p.uint()
	if n > uint64(len(p.s)-p.i) {
		p.bad, p.i = true, len(p.s)
		return ""
	}
	s := p.s[p.i : p.i+int(n)]
	p.i += int(n)
	return s
}

func (p *reader) time() time.Time {
	us := p.uint()
	if us == 0 {
		return time.Time{}
	}
	if us >= maxMicro {
		p.bad = true
		return time.Time{}
	}
	return time.UnixMicro(int64(us)).UTC()
}

func (p *reader) digest() Digest {
	kind, pepper, sum := p.uint(), p.uint32(), p.str()
	if kind < uint64(kindSHA256) || kind > uint64(kindForeignSecret) || (kind == uint64(kindHMAC)) != (pepper != 0) {
		p.bad = true
	}
	return newDigest(digestKind(kind), pepper, sum)
}

// skip passes n strings.
func (p *reader) skip(n int) {
	for range n {
		p.str()
	}
}

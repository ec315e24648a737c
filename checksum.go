package apikey

import "hash/crc32"

// checksum is the CRC-32 (IEEE) of s as six base62 digits.
func checksum(s string) string {
	sum := crc(s)
	var out [checksumLen]byte
	for i := range out {
		out[len(out)-1-i] = base62[sum%62]
		sum /= 62
	}
	return string(out[:])
}

// crc is crc32.ChecksumIEEE of a string, by the slicing-by-8 method (Kounavis
// and Berry, 2005) of that package. It is written out because the package takes
// its bytes through a variable, which moves them to the heap: an allocation for
// every token verified.
func crc(s string) uint32 {
	c := ^uint32(0)
	for len(s) >= 8 {
		c ^= uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24
		c = crcTables[0][s[7]] ^ crcTables[1][s[6]] ^ crcTables[2][s[5]] ^ crcTables[3][s[4]] ^
			crcTables[4][c>>24] ^ crcTables[5][c>>16&0xff] ^ crcTables[6][c>>8&0xff] ^ crcTables[7][c&0xff]
		s = s[8:]
	}
	if len(s) >= 4 {
		c ^= uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24
		c = crcTables[0][c>>24] ^ crcTables[1][c>>16&0xff] ^ crcTables[2][c>>8&0xff] ^ crcTables[3][c&0xff]
		s = s[4:]
	}
	for i := range len(s) {
		c = crcTables[0][byte(c)^s[i]] ^ c>>8
	}
	return ^c
}

// crcTables[k][b] is the CRC of the byte b followed by k zero bytes.
var crcTables = func() (t [8]crc32.Table) {
	t[0] = *crc32.MakeTable(crc32.IEEE)
	for b := range t[0] {
		c := t[0][b]
		for k := 1; k < len(t); k++ {
			c = t[0][c&0xff] ^ c>>8
			t[k][b] = c
		}
	}
	return t
}()

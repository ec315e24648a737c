package redislimit

import (
	"strings"

	"github.com/go-apikey/apikey"
)

// keyName is the name of a bucket in Redis: prefix{owner}k:limit:ID, and for
// the owner's own bucket prefix{owner}o:limit. What stands in braces is what a
// cluster places it by.
func keyName(prefix string, b *apikey.Bucket) string {
	owner := escape(b.Owner)
	if owner == "" {
		owner = "%" // no owner's: empty braces are no tag
	}
	scope := "}k:"
	if b.Scope == apikey.ScopeOwner {
		scope = "}o:"
		if b.ID == b.Owner {
			return prefix + "{" + owner + scope + escape(b.Limit.Name)
		}
	}
	return prefix + "{" + owner + scope + escape(b.Limit.Name) + ":" + b.ID
}

// escape makes s one part of a name: no brace ends the tag, and no colon the part.
func escape(s string) string {
	if !strings.ContainsAny(s, "%{}:") {
		return s
	}
	return escaper.Replace(s)
}

var escaper = strings.NewReplacer("%", "%25", "{", "%7B", "}", "%7D", ":", "%3A")

// slot is where a cluster keeps what belongs to an owner: CRC-16 (XMODEM) of
// the tag, of 16,384.
func slot(owner string) int {
	tag := escape(owner)
	if tag == "" {
		tag = "%"
	}
	var crc uint16
	for i := range len(tag) {
		crc ^= uint16(tag[i]) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return int(crc % slots)
}

const slots = 16384

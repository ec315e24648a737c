package memstore

import (
	"hash/maphash"
	"math/bits"
	"sync"
	"sync/atomic"

	"github.com/go-apikey/apikey"
)

// table holds the records and finds them by ID. It has many readers and one
// writer at a time, who holds Store.mu. Records lie in slots; everything else
// knows them by the number of their slot, which takes half of a pointer's space
// and nothing of a garbage collection's time. Slots are given out in order, so
// that a collection goes through records as they lie in memory: in the order
// of a hash table it takes five times as long.
type table struct {
	seed   maphash.Seed
	parts  [256]part
	chunks atomic.Pointer[[]*chunk] // of slots; they never move
	taken  uint32                   // slots that were ever in use
	free   []uint32                 // those that no longer are
}

const chunkLen = 1024

type chunk [chunkLen]slot

// slot holds a record and its ID, which is a part of the record's bytes. It
// stands here so that the processor fetches those bytes and the Record at the
// same time: among millions of keys both are far away.
//
// It is written under the locks of its part and of the writers, so that either
// is enough to read it.
type slot struct {
	rec *apikey.Record // nil: free
	id  string
}

// part is a hash table with linear probing over buckets, from ID to slot. The
// parts grow one by one, and aside, so that no reader waits for long.
type part struct {
	mu      sync.RWMutex
	buckets []bucket
	used    int // cells that have a tag
	live    int // those whose key is there
}

// bucket is half a cache line, of cells that are used in order. A tag stays
// when its key is removed, so that a search goes on to what lies beyond.
type bucket struct {
	tags  uint64 // a byte for each cell: eight bits of the hash, never 0; 0: not used
	slots [bucketLen]uint32
}

const (
	bucketLen = 6
	removed   = 1<<32 - 1 // no slot
)

// find returns the record with this ID and its slot; nil if there is none.
func (t *table) find(id string) (n uint32, rec *apikey.Record) {
	part, home, tag := t.locate(id)
	part.mu.RLock()
	if cell := t.cell(part.buckets, id, home, tag); cell != nil {
		n, rec = *cell, t.slot(*cell).rec
	}
	part.mu.RUnlock()
	return n, rec
}

// get is the record in a slot, for who holds Store.mu.
func (t *table) get(n uint32) *apikey.Record { return t.slot(n).rec }

// insert adds a record whose ID is not there and returns its slot.
func (t *table) insert(rec *apikey.Record) uint32 {
	part, home, tag := t.locate(rec.ID())
	t.reserve(part)
	n := t.take()
	part.mu.Lock()
	defer part.mu.Unlock()
	*t.slot(n) = slot{rec, rec.ID()}
	put(part.buckets, home, tag, n)
	part.used++
	part.live++
	return n
}

// replace puts rec into slot n, which has the record of the same ID.
func (t *table) replace(n uint32, rec *apikey.Record) {
	part, _, _ := t.locate(rec.ID())
	part.mu.Lock()
	defer part.mu.Unlock()
	*t.slot(n) = slot{rec, rec.ID()}
}

// remove takes the record with this ID out of slot n.
func (t *table) remove(n uint32, id string) {
	part, home, tag := t.locate(id)
	part.mu.Lock()
	defer part.mu.Unlock()
	*t.cell(part.buckets, id, home, tag) = removed
	part.live--
	*t.slot(n) = slot{}
	t.free = append(t.free, n)
}

// locate hashes an ID.
func (t *table) locate(id string) (p *part, home uint32, tag byte) {
	h := maphash.String(t.seed, id)
	return &t.parts[h>>56], uint32(h), max(byte(h>>48), 1)
}

func (t *table) slot(n uint32) *slot { return &(*t.chunks.Load())[n/chunkLen][n%chunkLen] }

// cell finds the cell of an ID; nil if it has none.
func (t *table) cell(buckets []bucket, id string, home uint32, tag byte) *uint32 {
	for i := bucketOf(home, buckets); i < len(buckets); i = next(i, buckets) {
		b := &buckets[i]
		for m := matches(b.tags, tag); m != 0; m &= m - 1 {
			cell := &b.slots[bits.TrailingZeros64(m)/8]
			if *cell != removed && t.slot(*cell).id == id {
				return cell
			}
		}
		if !b.full() { // no key went on from here
			break
		}
	}
	return nil
}

// take returns a slot that is free.
func (t *table) take() uint32 {
	if last := len(t.free) - 1; last >= 0 {
		n := t.free[last]
		t.free = t.free[:last]
		return n
	}
	n := t.taken
	t.taken++
	if n%chunkLen == 0 {
		var chunks []*chunk
		if old := t.chunks.Load(); old != nil {
			chunks = *old
		}
		chunks = append(chunks, new(chunk)) // beyond what readers of the old list see
		t.chunks.Store(&chunks)
	}
	return n
}

// reserve makes room for one more: at most 7 in 8 cells are used, so that a
// search soon ends. What is written anew is two thirds full.
func (t *table) reserve(p *part) {
	if (p.used+1)*8 <= len(p.buckets)*bucketLen*7 {
		return
	}
	buckets := make([]bucket, p.live*3/(2*bucketLen)+1)
	for i := range p.buckets {
		b := &p.buckets[i]
		for j, n := range b.slots {
			if byte(b.tags>>(8*j)) != 0 && n != removed {
				_, home, tag := t.locate(t.slot(n).id)
				put(buckets, home, tag, n)
			}
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.buckets, p.used = buckets, p.live
}

// put writes the first cell that is not used, from the home bucket on.
func put(buckets []bucket, home uint32, tag byte, n uint32) {
	i := bucketOf(home, buckets)
	for buckets[i].full() {
		i = next(i, buckets)
	}
	b := &buckets[i]
	j := (bits.Len64(b.tags) + 7) / 8
	b.tags |= uint64(tag) << (8 * j)
	b.slots[j] = n
}

func (b *bucket) full() bool { return b.tags>>(8*(bucketLen-1)) != 0 }

// bucketOf is where to look first; next is where to look after bucket i.
func bucketOf(home uint32, buckets []bucket) int {
	return int(uint64(home) * uint64(len(buckets)) >> 32)
}

func next(i int, buckets []bucket) int {
	if i++; i < len(buckets) {
		return i
	}
	return 0
}

// matches has the highest bit of every byte, of the first six, that is tag, and
// now and then of one more: see Hacker's Delight, 6-1, on finding a zero byte.
func matches(tags uint64, tag byte) uint64 {
	const ones, highs = 0x010101010101, 0x808080808080
	x := tags ^ ones*uint64(tag)
	return (x - ones) &^ x & highs
}

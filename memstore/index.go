package memstore

import (
	"iter"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/go-apikey/apikey"
)

// index is a sorted list of slots: by CreatedAt and ID, or by owner before
// those. It lies in blocks, so that inserting anywhere moves little.
type index struct {
	table   *table
	byOwner bool
	blocks  [][]uint32 // none is empty
}

// blockLen slots are 2 KiB, a size of which the allocator wastes nothing.
const blockLen = 512

// position is a place in an index.
type position struct {
	owner   string // in an index by owner
	created time.Time
	id      string
}

// endOfTime is after every time that a record can hold.
var endOfTime = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)

func positionOf(rec *apikey.Record) position {
	return position{owner: rec.Owner(), created: rec.CreatedAt(), id: rec.ID()}
}

// insert adds a slot that is not there.
func (x *index) insert(n uint32) {
	b, i := x.search(positionOf(x.table.get(n)))
	if b == len(x.blocks) { // after all others, as new keys are: fill the last block, then begin another
		if b == 0 || len(x.blocks[b-1]) == blockLen {
			x.blocks = append(x.blocks, make([]uint32, 0, blockLen))
			b++
		}
		b, i = b-1, len(x.blocks[b-1])
	}
	if len(x.blocks[b]) == blockLen {
		const half = blockLen / 2
		upper := append(make([]uint32, 0, blockLen), x.blocks[b][half:]...)
		x.blocks[b] = x.blocks[b][:half]
		x.blocks = slices.Insert(x.blocks, b+1, upper)
		if i > half {
			b, i = b+1, i-half
		}
	}
	x.blocks[b] = slices.Insert(x.blocks[b], i, n)
}

// remove takes out a slot that is there and still has its record.
func (x *index) remove(n uint32) {
	b, i := x.search(positionOf(x.table.get(n)))
	x.blocks[b] = slices.Delete(x.blocks[b], i, i+1)
	if len(x.blocks[b]) == 0 {
		x.blocks = slices.Delete(x.blocks, b, b+1)
		return
	}
	b = min(b, len(x.blocks)-2) // of two neighbours, the first
	if b >= 0 && len(x.blocks[b])+len(x.blocks[b+1]) <= blockLen/2 {
		x.blocks[b] = append(x.blocks[b], x.blocks[b+1]...)
		x.blocks = slices.Delete(x.blocks, b+1, b+2)
	}
}

// before goes through the records before p, from the last one down.
func (x *index) before(p position) iter.Seq[*apikey.Record] {
	return func(yield func(*apikey.Record) bool) {
		b, i := x.search(p)
		for {
			if i == 0 {
				if b == 0 {
					return
				}
				b--
				i = len(x.blocks[b])
			}
			i--
			if !yield(x.table.get(x.blocks[b][i])) {
				return
			}
		}
	}
}

// search is the place of the first record that is not before p: in block b at
// i; b is len(x.blocks) if all are before it.
func (x *index) search(p position) (b, i int) {
	b = sort.Search(len(x.blocks), func(b int) bool {
		block := x.blocks[b]
		return x.compare(block[len(block)-1], &p) >= 0
	})
	if b < len(x.blocks) {
		block := x.blocks[b]
		i = sort.Search(len(block), func(i int) bool { return x.compare(block[i], &p) >= 0 })
	}
	return b, i
}

func (x *index) compare(n uint32, p *position) int {
	rec := x.table.get(n)
	if x.byOwner {
		if c := strings.Compare(rec.Owner(), p.owner); c != 0 {
			return c
		}
	}
	return comparePosition(rec, p)
}

// comparePosition is the order of lists, oldest first.
func comparePosition(rec *apikey.Record, p *position) int {
	if c := rec.CreatedAt().Compare(p.created); c != 0 {
		return c
	}
	return strings.Compare(rec.ID(), p.id)
}

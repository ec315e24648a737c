package apikey

import (
	"hash/maphash"
	"math"
	"math/bits"
	"sync"
	"time"
	"unique"
)

// tokenBucket is one bucket of a [TokenBuckets]. There may be millions: it has
// 64 bytes, one cache line and a size class of the allocator.
//
// A Take locks all its buckets, in the order of compareBuckets, and may lock a
// shard while it holds some. Who holds a shard's lock therefore only tries a
// bucket's.
type tokenBucket struct {
	id    string // Bucket.ID; never changes
	mu    sync.Mutex
	last  time.Duration             // when level was right, since TokenBuckets.start; under mu
	level float64                   // its tokens then; below 0 after a cut of what was spent; under mu
	kind  unique.Handle[bucketKind] // zero: dropped; written under mu and the shard's lock, read under either
	next  *tokenBucket              // in the same chain; under the shard's lock
	hash  uint64                    // of what names it; never changes
}

// bucketKind is what many buckets have in common, kept once.
type bucketKind struct {
	scope          Scope
	limit          Limit
	rate, capacity float64 // of limit, in tokens a second and tokens
}

// dropped reports whether the bucket is no longer in the table. b is locked.
func (b *tokenBucket) dropped() bool { return b.kind == unique.Handle[bucketKind]{} }

// bucketTable is a hash table of buckets in chains, with a lock for each
// shard. Chains cost 8 bytes a bucket where a map costs 20 to 40.
type bucketTable struct {
	seed   maphash.Seed
	shards []bucketShard
}

type bucketShard struct {
	mu     sync.Mutex
	chains []*tokenBucket // 0 or a power of two of them
	count  int
	swept  time.Duration // when a bucket was last dropped: a new one starts no earlier, or it would go back in time
	_      [16]byte      // a cache line each
}

const (
	bucketShards = 256
	minChains    = 8
	sweepStep    = 128         // chains that are swept under one lock
	sweepIdle    = time.Minute // a full bucket stays so long after its last use, for the next one
)

func newBucketTable() bucketTable {
	t := bucketTable{seed: maphash.MakeSeed(), shards: make([]bucketShard, bucketShards)}
	for i := range t.shards {
		t.shards[i].swept = math.MinInt64
	}
	return t
}

// find returns the bucket that b names. If there is none it adds the one that
// create returns; swept is the earliest time at which it may start.
func (t *bucketTable) find(b *Bucket, create func(swept time.Duration) *tokenBucket) *tokenBucket {
	h := t.hash(b.Scope, b.ID, b.Limit.Name)
	sh := &t.shards[h%bucketShards]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if len(sh.chains) > 0 {
		for found := *sh.chain(h); found != nil; found = found.next {
			if found.hash != h { // another one's id is not in the cache
				continue
			}
			if kind := found.kind.Value(); found.id == b.ID && kind.limit.Name == b.Limit.Name && kind.scope == b.Scope {
				return found
			}
		}
	}
	made := create(sh.swept)
	made.kind, made.hash = kindOf(b), h
	if sh.count == len(sh.chains) {
		sh.resize(max(minChains, 2*len(sh.chains)))
	}
	sh.push(made)
	sh.count++
	return made
}

// setKind notes that bucket, which is locked, has become what b asks for.
func (t *bucketTable) setKind(bucket *tokenBucket, b *Bucket) {
	sh := &t.shards[bucket.hash%bucketShards]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	bucket.kind = kindOf(b)
}

func kindOf(b *Bucket) unique.Handle[bucketKind] {
	return unique.Make(bucketKind{b.Scope, b.Limit, b.Limit.rate(), float64(b.Limit.Capacity())})
}

func (t *bucketTable) hash(scope Scope, id, name string) uint64 {
	return maphash.String(t.seed, id) ^ bits.RotateLeft64(maphash.String(t.seed, name)+uint64(scope), 32)
}

// chain is where the chain of hash h begins.
func (sh *bucketShard) chain(h uint64) **tokenBucket {
	return &sh.chains[h/bucketShards&uint64(len(sh.chains)-1)]
}

func (sh *bucketShard) push(b *tokenBucket) {
	first := sh.chain(b.hash)
	b.next, *first = *first, b
}

// resize spreads the buckets of sh over n chains, a power of two.
func (sh *bucketShard) resize(n int) {
	old := sh.chains
	sh.chains = make([]*tokenBucket, n)
	for _, b := range old {
		for b != nil {
			next := b.next
			sh.push(b)
			b = next
		}
	}
}

// Len is how many buckets there are.
func (t *TokenBuckets) Len() int {
	n := 0
	for i := range t.table.shards {
		sh := &t.table.shards[i]
		sh.mu.Lock()
		n += sh.count
		sh.mu.Unlock()
	}
	return n
}

// Sweep drops the buckets that are full at now and were not used for a minute:
// nobody can tell a full one from one not seen before. It holds no lock for
// longer than it takes to look at a few hundred of them, so that it can run
// beside any number of calls of Take.
func (t *TokenBuckets) Sweep(now time.Time) {
	at := t.sinceStart(now)
	for i := range t.table.shards {
		for from := 0; t.sweep(&t.table.shards[i], from, at); from += sweepStep {
		}
	}
}

// sweep drops the idle buckets of the chains of sh from the one numbered from,
// and reports whether there are chains left to sweep.
func (t *TokenBuckets) sweep(sh *bucketShard, from int, at time.Duration) bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	to := min(from+sweepStep, len(sh.chains))
	for i := from; i < to; i++ {
		for link := &sh.chains[i]; *link != nil; {
			if b := *link; b.dropIdle(at) {
				*link = b.next
				sh.count--
				sh.swept = max(sh.swept, at)
			} else {
				link = &b.next
			}
		}
	}
	if to < len(sh.chains) {
		return true
	}
	if n := len(sh.chains); n > minChains && sh.count < n/4 {
		for n > minChains && sh.count < n/2 {
			n /= 2
		}
		sh.resize(n)
	}
	return false
}

// dropIdle marks b as dropped if nobody would see a difference. The shard is locked.
func (b *tokenBucket) dropIdle(at time.Duration) bool {
	if !b.mu.TryLock() { // in use
		return false
	}
	defer b.mu.Unlock()
	if at-b.last < sweepIdle {
		return false
	}
	kind := b.kind.Value()
	if flowTime(kind.capacity-b.levelAt(at, kind.rate, kind.capacity), kind.rate) >= 1 {
		return false
	}
	b.kind = unique.Handle[bucketKind]{}
	return true
}

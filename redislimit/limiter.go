package redislimit

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/redis/go-redis/v9"
)

// Limiter is an [apikey.Limiter] on Redis, for the nodes of a service that
// share one. Make it with [New]. It is safe for concurrent use.
type Limiter struct {
	client redis.UniversalClient
	cfg    Config
	start  time.Time // times in here are the Duration since then, by the monotonic clock
	lanes  []*lane   // one, or with a cluster one for each part of its slots
	source string    // of the script
	hash   string
	bySlot atomic.Bool // Redis is in cluster mode: a script is for one slot
	leases *leaseTable // nil: none
	closed atomic.Bool
	local  local

	clock func() int64 // tests: microseconds that the script goes by; nil: the server's
}

// The errors of a Limiter of its own.
var (
	ErrClosed      = errors.New("redislimit: the limiter is closed")
	ErrUnavailable = errors.New("redislimit: Redis cannot be asked")
)

// New returns a Limiter on client, a *redis.Client or a *redis.ClusterClient,
// which stays the caller's to close. It refuses others: a *redis.Ring moves
// names to another server when one is gone, where their buckets are full. A nil
// cfg is the zero Config. New does not connect: a Redis that is not there yet
// is one that fails, and is found when it comes.
func New(client redis.UniversalClient, cfg *Config) (*Limiter, error) {
	if client == nil {
		return nil, errors.New("redislimit: the client is nil")
	}
	l := &Limiter{client: client, start: time.Now(), source: takeSource, hash: takeHash}
	if cfg != nil {
		l.cfg = *cfg
	}
	if err := l.cfg.normalise(); err != nil {
		return nil, err
	}
	lanes := 1
	switch c := client.(type) {
	case *redis.Client:
		l.client = c.WithTimeout(l.cfg.Timeout)
	case *redis.ClusterClient:
		lanes = clusterLanes
		l.bySlot.Store(true)
	default:
		return nil, fmt.Errorf("redislimit: the client must be a *redis.Client or a *redis.ClusterClient, and is a %T", client)
	}
	for range lanes {
		l.lanes = append(l.lanes, &lane{limiter: l})
	}
	if l.cfg.Lease > 0 {
		l.leases = newLeaseTable()
	}
	l.local.buckets = apikey.NewTokenBuckets()
	return l, nil
}

// clusterLanes is into how many parts the slots of a cluster are divided, so
// that a part whose node is gone does not hold up the others.
const clusterLanes = 16

// Take is as [apikey.Limiter] describes it, by the clock of Redis. All buckets
// are of one owner, since a cluster keeps no others together. n above the
// capacity of a bucket is [apikey.ErrCost]; n below 1, a Limit that is none,
// and a list with two owners or with one bucket twice are [apikey.ErrInvalid].
// While Redis fails it answers as Config.OnFailure says; by [Deny] with an
// error that is [ErrUnavailable]. A Limit is within the bounds that the fields
// of [apikey.Limit] state.
func (l *Limiter) Take(ctx context.Context, now time.Time, n int, buckets []apikey.Bucket) (apikey.Decision, error) {
	if err := ctx.Err(); err != nil {
		return apikey.Decision{}, err
	}
	if err := checkTake(n, buckets); err != nil {
		return apikey.Decision{}, err
	}
	if l.closed.Load() {
		return apikey.Decision{}, ErrClosed
	}
	if len(buckets) == 0 {
		return apikey.Decision{Allowed: true}, nil
	}
	var d apikey.Decision
	var err error
	if l.leases != nil {
		d, err = l.takeLeased(ctx, n, buckets)
	} else {
		d, err = l.takeExact(ctx, n, buckets)
	}
	if err != nil {
		return l.onFailure(ctx, now, n, buckets, err)
	}
	return d, nil
}

func checkTake(n int, buckets []apikey.Bucket) error {
	if n < 1 {
		return invalid("n must be at least 1")
	}
	for i := range buckets {
		b := &buckets[i]
		if b.Limit.N < 1 || b.Limit.Per < 1 || b.Limit.Burst < 0 {
			return invalid("a Limit must have N and Per above 0, and Burst not below 0")
		}
		if n > b.Limit.Capacity() {
			return apikey.ErrCost
		}
		if b.Owner != buckets[0].Owner {
			return invalid("buckets must be of one owner")
		}
		for j := range i {
			if o := &buckets[j]; o.Scope == b.Scope && o.ID == b.ID && o.Limit.Name == b.Limit.Name {
				return invalid("buckets must not hold one bucket twice")
			}
		}
	}
	return nil
}

func invalid(text string) error { return fmt.Errorf("redislimit: %s: %w", text, apikey.ErrInvalid) }

// takeExact decides in Redis.
func (l *Limiter) takeExact(ctx context.Context, n int, buckets []apikey.Bucket) (apikey.Decision, error) {
	var few [4]question
	questions := few[:0]
	for i := range buckets {
		questions = append(questions, question{bucket: &buckets[i], key: keyName(l.cfg.Prefix, &buckets[i])})
	}
	reply, err := l.ask(ctx, 0, n, questions)
	if err != nil {
		return apikey.Decision{}, err
	}
	d := decision{allowed: reply.allowed()}
	for i := range buckets {
		d.add(buckets[i].Limit, reply.state(i, &buckets[i].Limit))
	}
	return d.Decision(), nil
}

// Close gives back what was taken ahead, within ctx, and ends the Limiter:
// Take returns [ErrClosed] from then on. The client stays open.
func (l *Limiter) Close(ctx context.Context) error {
	if l.closed.Swap(true) {
		return nil
	}
	l.local.stop()
	if l.leases == nil {
		return nil
	}
	return l.sweep(ctx, true)
}

// onFailure answers what Redis could not. An ended ctx is the caller's own.
func (l *Limiter) onFailure(ctx context.Context, now time.Time, n int, buckets []apikey.Bucket, err error) (apikey.Decision, error) {
	if ctxErr := ctx.Err(); ctxErr != nil {
		return apikey.Decision{}, fmt.Errorf("redislimit: %w", ctxErr)
	}
	switch l.cfg.OnFailure {
	case Fallback:
		return l.local.take(ctx, now, n, l.cfg.Nodes, buckets)
	case InsecureAdmitOnFailure:
		return apikey.Decision{Allowed: true, Limit: buckets[0].Limit, Remaining: buckets[0].Limit.Capacity() - n}, nil
	default:
		return apikey.Decision{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
}

// local is what [Fallback] counts by.
type local struct {
	buckets *apikey.TokenBuckets
	mu      sync.Mutex
	sweeps  *time.Timer // nil: none is due
	stopped bool
}

func (f *local) take(ctx context.Context, now time.Time, n, nodes int, buckets []apikey.Bucket) (apikey.Decision, error) {
	f.sweepLater()
	shares := make([]apikey.Bucket, len(buckets))
	for i := range buckets {
		b := &buckets[i]
		share := b.Limit
		share.Per = min(share.Per, math.MaxInt64/time.Duration(nodes)) * time.Duration(nodes)
		share.Burst = max(b.Limit.Capacity()/nodes, n)
		shares[i] = apikey.Bucket{Scope: b.Scope, ID: b.ID, Owner: b.Owner, Limit: share}
	}
	d, err := f.buckets.Take(ctx, now, n, shares)
	for i := range shares {
		if shares[i].Limit == d.Limit {
			d.Limit = buckets[i].Limit
			break
		}
	}
	return d, err
}

// sweepLater has full buckets dropped in a minute, and each minute while there
// are any.
func (f *local) sweepLater() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.sweeps != nil || f.stopped {
		return
	}
	f.sweeps = time.AfterFunc(time.Minute, func() {
		f.buckets.Sweep(time.Now())
		f.mu.Lock()
		f.sweeps = nil
		f.mu.Unlock()
		if f.buckets.Len() > 0 {
			f.sweepLater()
		}
	})
}

func (f *local) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stopped = true
	if f.sweeps != nil {
		f.sweeps.Stop()
	}
}

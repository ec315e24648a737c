package redislimit

import (
	"context"
	_ "embed" // the script
	"encoding/binary"
	"errors"
	"math"
	"sync"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/redis/go-redis/v9"
)

//go:embed take.lua
var takeSource string

var takeHash = redis.NewScript(takeSource).Hash()

// question is what the script is asked of one bucket.
type question struct {
	bucket *apikey.Bucket
	key    string
	ahead  int     // tokens wanted beyond n
	id     float64 // of the lease to make for them
	old    lease   // that ends
}

// reply is what the script answers of the buckets of one request: doubles, the
// same ones of each bucket.
type reply string

const (
	replyAllowed = iota // 1, if n was taken from all; -1: what is stored is no bucket
	replyUsed           // millionths of tokens
	replyGranted        // tokens ahead
	replyWait           // microseconds
	replyFull           // microseconds
	replyFields
)

const replySize = 8 * replyFields // of a bucket

func (r reply) of(bucket, field int) float64 {
	at := bucket*replySize + 8*field
	return math.Float64frombits(binary.LittleEndian.Uint64([]byte(r[at : at+8])))
}

func (r reply) allowed() bool { return r.of(0, replyAllowed) == 1 }

func (r reply) granted(bucket int) int { return int(r.of(bucket, replyGranted)) }

// state is how a bucket stands, for who has what was granted.
func (r reply) state(bucket int, limit *apikey.Limit) state {
	return state{
		level: float64(limit.Capacity()) - r.of(bucket, replyUsed)/micro + r.of(bucket, replyGranted),
		full:  micros(r.of(bucket, replyFull)),
		wait:  micros(r.of(bucket, replyWait)),
	}
}

const micro = 1e6

func micros(n float64) time.Duration { return time.Duration(n) * time.Microsecond }

var (
	errOpen    = errors.New("it failed a moment ago")
	errTimeout = errors.New("it did not answer in time")
	errAnswer  = errors.New("what is stored under the name of a bucket is none")
)

// ask has the script decide, by end, or where that is 0 within the timeout. n is
// 0 where leases only end.
func (l *Limiter) ask(ctx context.Context, end time.Duration, n int, questions []question) (reply, error) {
	lane, where := l.lane(questions[0].bucket.Owner)
	now := time.Since(l.start)
	if !lane.breaker.try(now) {
		return "", errOpen
	}
	if end == 0 {
		end = now + l.cfg.Timeout
	}
	c := newCall(n, questions)
	c.slot = where
	err := lane.do(ctx, now, end, c)
	switch {
	case err == nil:
		lane.breaker.succeeded()
	case ctx.Err() == nil:
		lane.breaker.failed(time.Since(l.start))
		if cluster, ok := l.client.(*redis.ClusterClient); ok {
			cluster.ReloadState(ctx) // in the background: a failed pipeline does not by itself
		}
	}
	if err != nil {
		return "", err
	}
	answer := c.answer
	calls.Put(c) // it is over, so nobody else has it
	if answer.of(0, replyAllowed) < 0 {
		return "", errAnswer
	}
	return answer, nil
}

// lane is the one that asks for an owner, and where is the owner's slot.
func (l *Limiter) lane(owner string) (la *lane, where int) {
	if !l.bySlot.Load() {
		return l.lanes[0], 0
	}
	where = slot(owner)
	return l.lanes[where*len(l.lanes)/slots], where
}

// calls are those that are over, to be used again.
var calls = sync.Pool{New: func() any { return new(call) }}

// newCall is the request to take n from what the questions are of.
func newCall(n int, questions []question) *call {
	c, _ := calls.Get().(*call)
	c.keys, c.request, c.answer, c.err = c.keys[:0], c.request[:0], "", nil
	c.state.Store(queued)
	leases := 0.0
	for i := range questions {
		if questions[i].ahead > 0 || questions[i].old.id > 0 {
			leases = 1
		}
	}
	c.number(float64(n))
	c.number(float64(len(questions)))
	c.number(leases)
	for i := range questions {
		q := &questions[i]
		c.keys = append(c.keys, q.key)
		limit := &q.bucket.Limit
		c.number(float64(limit.N))
		c.number(float64(limit.Per))
		c.number(float64(limit.Capacity()))
		if leases > 0 {
			c.number(float64(q.ahead))
			c.number(q.id)
			c.number(q.old.id)
			c.number(float64(q.old.hand))
		}
	}
	return c
}

func (c *call) number(f float64) { c.request = number(c.request, f) }

func number(to []byte, f float64) []byte {
	return binary.LittleEndian.AppendUint64(to, math.Float64bits(f))
}

func (l *Limiter) testTime() float64 {
	if l.clock == nil {
		return 0
	}
	return float64(l.clock())
}

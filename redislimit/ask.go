package redislimit

import (
	"context"
	_ "embed" // the script
	"encoding/binary"
	"errors"
	"math"
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
	old    float64 // the lease that ends; 0: none
	back   int     // its unspent tokens
}

// reply is what the script answers: doubles, of which the first is whether n
// was taken, then four of each bucket.
type reply string

const (
	replyUsed    = iota // millionths of tokens
	replyGranted        // tokens ahead
	replyWait           // microseconds
	replyFull           // microseconds
	replyFields
)

func (r reply) field(i int) float64 {
	return math.Float64frombits(binary.LittleEndian.Uint64([]byte(r[8*i : 8*i+8])))
}

func (r reply) allowed() bool { return r.field(0) == 1 }

func (r reply) of(bucket, field int) float64 { return r.field(1 + bucket*replyFields + field) }

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
	errSent    = errors.New("it was not asked")
	errAnswer  = errors.New("what is stored under the name of a bucket is none")
)

// ask has the script decide, by end. n is 0 where leases only end.
func (l *Limiter) ask(ctx context.Context, end time.Duration, n int, questions []question) (reply, error) {
	lane := l.lanes[0]
	if len(l.lanes) > 1 {
		lane = l.lanes[slot(questions[0].bucket.Owner)*len(l.lanes)/slots]
	}
	now := time.Since(l.start)
	if !lane.breaker.try(now) {
		return "", errOpen
	}
	answer, err := lane.do(ctx, end-now, l.encode(n, questions))
	switch {
	case err == nil:
		lane.breaker.succeeded()
	case ctx.Err() == nil:
		lane.breaker.failed(time.Since(l.start))
		if cluster, ok := l.client.(*redis.ClusterClient); ok {
			cluster.ReloadState(ctx) // in the background: a failed pipeline does not by itself
		}
	}
	if err == nil && len(answer) != 8*(1+replyFields*len(questions)) {
		return "", errAnswer
	}
	return reply(answer), err
}

func (l *Limiter) encode(n int, questions []question) *call {
	c := &call{keys: make([]string, 0, len(questions)), arg: make([]byte, 0, 24+56*len(questions)), done: make(chan struct{})}
	if len(l.lanes) > 1 {
		c.slot = slot(questions[0].bucket.Owner)
	}
	c.number(float64(n))
	c.number(float64(l.cfg.LeaseTime.Microseconds()))
	c.number(l.testTime())
	for i := range questions {
		q := &questions[i]
		c.keys = append(c.keys, q.key)
		limit := &q.bucket.Limit
		for _, f := range [...]float64{float64(limit.N), float64(limit.Per), float64(limit.Capacity()), float64(q.ahead), q.id, q.old, float64(q.back)} {
			c.number(f)
		}
	}
	return c
}

func (l *Limiter) testTime() float64 {
	if l.clock == nil {
		return 0
	}
	return float64(l.clock())
}

func (c *call) number(f float64) {
	c.arg = binary.LittleEndian.AppendUint64(c.arg, math.Float64bits(f))
}

package redislimit

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// lane sends the calls of many goroutines together. It has a few senders, each
// with one pipeline in flight; what comes meanwhile goes with the next. There
// is no goroutine while there is nothing to send.
type lane struct {
	limiter *Limiter
	breaker breaker

	mu      sync.Mutex
	queue   []*call
	senders int
}

const (
	maxSenders = 2   // one waits for Redis while the other writes and reads
	maxBatch   = 256 // in a pipeline
	maxScript  = 64  // decisions of one script, while which Redis does nothing else
)

// call is one script on its way.
type call struct {
	keys   []string
	arg    []byte
	slot   int // of a cluster
	state  atomic.Int32
	done   chan struct{} // closed when answer and err are set
	answer string
	err    error
}

const (
	queued int32 = iota
	sent
	abandoned // nobody waits: it must not take anything
)

// do has c sent and waits for its answer, for no longer than within.
func (la *lane) do(ctx context.Context, within time.Duration, c *call) (string, error) {
	la.mu.Lock()
	la.queue = append(la.queue, c)
	la.startSender()
	la.mu.Unlock()
	timeout := time.NewTimer(within)
	defer timeout.Stop()
	select {
	case <-c.done:
		return c.answer, c.err
	case <-ctx.Done():
		c.state.CompareAndSwap(queued, abandoned)
		return "", ctx.Err()
	case <-timeout.C:
		c.state.CompareAndSwap(queued, abandoned)
		return "", errTimeout
	}
}

// startSender starts a sender if there is use for one. la is locked.
func (la *lane) startSender() {
	if la.senders < maxSenders && len(la.queue) > 0 {
		la.senders++
		go la.send()
	}
}

// send sends until the queue is empty. Where the client hangs for longer than
// the timeout, its place is another's.
func (la *lane) send() {
	for {
		batch := la.next()
		if batch == nil {
			return
		}
		replaced := time.AfterFunc(la.limiter.cfg.Timeout+la.limiter.cfg.Timeout/4, la.replace)
		la.limiter.exchange(batch)
		if !replaced.Stop() {
			return
		}
	}
}

func (la *lane) next() []*call {
	la.mu.Lock()
	defer la.mu.Unlock()
	if len(la.queue) == 0 {
		la.senders--
		return nil
	}
	n := min(len(la.queue), maxBatch)
	batch := la.queue[:n:n]
	la.queue = la.queue[n:]
	return batch
}

func (la *lane) replace() {
	la.mu.Lock()
	defer la.mu.Unlock()
	la.senders--
	la.startSender()
}

// exchange sends calls in one pipeline and ends each with its answer.
func (l *Limiter) exchange(calls []*call) {
	ctx, cancel := context.WithTimeout(context.Background(), l.cfg.Timeout)
	defer cancel()
	waited := calls[:0]
	for _, c := range calls {
		if c.state.CompareAndSwap(queued, sent) {
			waited = append(waited, c)
		}
	}
	// A node that is new, was flushed or restarted lacks the script.
	missing := l.pipeline(ctx, waited, "evalsha", l.hash)
	for _, c := range l.pipeline(ctx, missing, "eval", l.source) {
		close(c.done)
	}
}

// pipeline ends all calls but those for which the node lacks the script.
func (l *Limiter) pipeline(ctx context.Context, calls []*call, command, script string) (missing []*call) {
	if len(calls) == 0 {
		return nil
	}
	pipe := l.client.Pipeline()
	groups := together(calls)
	commands := make([]*redis.StringSliceCmd, len(groups))
	for i, group := range groups {
		commands[i] = redis.NewStringSliceCmd(ctx, arguments(group, command, script)...)
		_ = pipe.Process(ctx, commands[i]) // only queues it
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	for i, group := range groups {
		answers, err := commands[i].Result()
		if err == nil && len(answers) != len(group) {
			err = errSent
		}
		lacks := err != nil && strings.HasPrefix(err.Error(), "NOSCRIPT")
		for j, c := range group {
			if c.err = err; err == nil {
				c.answer = answers[j]
			}
			if lacks {
				missing = append(missing, c)
			} else {
				close(c.done)
			}
		}
	}
	return missing
}

// together divides calls into those that one script may decide: of one slot,
// and not so many that others wait long for it.
func together(calls []*call) [][]*call {
	slices.SortStableFunc(calls, func(a, b *call) int { return cmp.Compare(a.slot, b.slot) })
	var groups [][]*call
	for from, i := 0, 1; i <= len(calls); i++ {
		if i == len(calls) || calls[i].slot != calls[from].slot || i-from == maxScript {
			groups = append(groups, calls[from:i])
			from = i
		}
	}
	return groups
}

func arguments(group []*call, command, script string) []any {
	args := make([]any, 3, 4+4*len(group))
	for _, c := range group {
		for _, key := range c.keys {
			args = append(args, key)
		}
	}
	args[0], args[1], args[2] = command, script, len(args)-3
	for _, c := range group {
		args = append(args, c.arg)
	}
	return args
}

// breaker keeps a Redis that failed from being asked by each request: after
// some failures in a row it is asked from time to time only, until it answers.
type breaker struct {
	failures atomic.Int32
	next     atomic.Int64 // when it may be asked, a Duration since the Limiter's start
}

const (
	breakAfter = 3
	probeEvery = 100 * time.Millisecond
)

// try reports whether to ask at now.
func (b *breaker) try(now time.Duration) bool {
	if b.failures.Load() < breakAfter {
		return true
	}
	next := b.next.Load()
	return int64(now) >= next && b.next.CompareAndSwap(next, int64(now+probeEvery))
}

func (b *breaker) succeeded() {
	if b.failures.Load() != 0 {
		b.failures.Store(0)
	}
}

func (b *breaker) failed(now time.Duration) {
	if b.failures.Load() >= breakAfter {
		return // stays open; a count that only grows would overflow
	}
	if b.failures.Add(1) == breakAfter {
		b.next.Store(int64(now + probeEvery))
	}
}

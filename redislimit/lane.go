package redislimit

import (
	"cmp"
	"context"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// lane sends the calls of many goroutines together. It has a few senders, each
// with one batch in flight; what comes meanwhile goes with the next. Where that
// would wait, because the way to Redis is long, there are more. There is no
// goroutine while there is nothing to send.
type lane struct {
	limiter *Limiter
	breaker breaker

	mu      sync.Mutex
	queue   []*batch // to be sent; calls join the last one
	senders int
}

const (
	fewSenders = 3                    // so that Redis has the next batch when it has decided one
	maxSenders = 32                   // while a batch has waited for patience
	patience   = 3 * time.Millisecond // longer than what is near takes
	maxBatch   = 256                  // calls
	maxScript  = 64                   // decisions of one script, while which Redis does nothing else
)

// batch is calls that go together, and end together.
type batch struct {
	calls []*call
	begin time.Duration // when the first of them came
	end   time.Duration // a Timeout later
	timer *time.Timer   // ends it then
	late  *time.Timer   // gets it a sender; nil: there is one
	once  sync.Once
	done  chan struct{} // closed when all calls have their answers, or err is set
	err   error
}

// finish has set say how b ended, unless it has ended already.
func (b *batch) finish(set func()) {
	b.once.Do(func() {
		set()
		close(b.done)
	})
}

func (b *batch) over() bool {
	select {
	case <-b.done:
		return true
	default:
		return false
	}
}

// call is a request that the script is to decide.
type call struct {
	keys    []string
	request []byte
	slot    int // of a cluster; 0 where there is none
	state   atomic.Int32
	answer  reply
	err     error
}

const (
	queued int32 = iota
	sent
	abandoned // nobody waits: it must not take anything
)

// do has c sent and waits for its answer until end.
func (la *lane) do(ctx context.Context, now, end time.Duration, c *call) error {
	b := la.join(now, c)
	var early <-chan time.Time
	if end < b.end { // it waited for something else before
		timer := time.NewTimer(end - now)
		defer timer.Stop()
		early = timer.C
	}
	select {
	case <-b.done:
		if b.err != nil {
			return b.err
		}
		return c.err
	case <-ctx.Done():
		c.state.CompareAndSwap(queued, abandoned)
		return ctx.Err()
	case <-early:
		c.state.CompareAndSwap(queued, abandoned)
		return errTimeout
	}
}

// join puts c into the batch that will be sent last, and has it sent.
func (la *lane) join(now time.Duration, c *call) *batch {
	la.mu.Lock()
	defer la.mu.Unlock()
	var b *batch
	if n := len(la.queue); n > 0 && len(la.queue[n-1].calls) < maxBatch && !la.queue[n-1].over() {
		b = la.queue[n-1]
	} else {
		timeout := la.limiter.cfg.Timeout
		b = &batch{begin: now, end: now + timeout, done: make(chan struct{})}
		b.timer = time.AfterFunc(timeout, func() { b.finish(func() { b.err = errTimeout }) })
		la.queue = append(la.queue, b)
		if la.senders >= fewSenders {
			b.late = time.AfterFunc(patience, la.hurry)
		}
	}
	b.calls = append(b.calls, c)
	la.startSender(now)
	return b
}

// hurry is called when a batch has waited for patience.
func (la *lane) hurry() {
	la.mu.Lock()
	defer la.mu.Unlock()
	la.startSender(la.now())
}

func (la *lane) now() time.Duration { return time.Since(la.limiter.start) }

// mostSenders is how many there may be at now. la is locked.
func (la *lane) mostSenders(now time.Duration) int {
	switch {
	case len(la.queue) == 0:
		return 0
	case now-la.queue[0].begin < patience:
		return fewSenders
	default:
		return maxSenders
	}
}

// startSender starts a sender if there is use for one. la is locked.
func (la *lane) startSender(now time.Duration) {
	if la.senders < la.mostSenders(now) {
		la.senders++
		go la.send()
	}
}

// send sends until there are enough others. Where the client hangs for longer
// than the timeout, its place is another's.
func (la *lane) send() {
	for {
		runtime.Gosched() // who is ready to join may do so
		b := la.next()
		if b == nil {
			return
		}
		replaced := time.AfterFunc(la.limiter.cfg.Timeout+la.limiter.cfg.Timeout/4, la.replace)
		la.limiter.exchange(b)
		b.timer.Stop()
		if !replaced.Stop() {
			return
		}
	}
}

// next is the batch that a sender is to send; nil: none, and it ends.
func (la *lane) next() *batch {
	la.mu.Lock()
	defer la.mu.Unlock()
	for now := la.now(); la.senders <= la.mostSenders(now); {
		b := la.queue[0]
		la.queue[0] = nil
		la.queue = la.queue[1:]
		if b.late != nil {
			b.late.Stop()
		}
		if !b.over() {
			return b
		}
	}
	la.senders--
	return nil
}

func (la *lane) replace() {
	la.mu.Lock()
	defer la.mu.Unlock()
	la.senders--
	la.startSender(la.now())
}

// exchange sends the calls of b in one pipeline and ends it.
func (l *Limiter) exchange(b *batch) {
	ctx, cancel := context.WithDeadline(context.Background(), l.start.Add(b.end))
	defer cancel()
	waited := b.calls[:0]
	for _, c := range b.calls {
		if c.state.CompareAndSwap(queued, sent) {
			waited = append(waited, c)
		}
	}
	scripts := together(waited)
	l.pipeline(ctx, scripts, "evalsha", l.hash)
	scripts = l.divide(ctx, scripts)
	// A node that is new, was flushed or restarted lacks the script.
	l.pipeline(ctx, slices.DeleteFunc(slices.Clone(scripts), func(s *script) bool { return !s.refused("NOSCRIPT") }), "eval", l.source)
	b.finish(func() {
		for _, s := range scripts {
			s.answer()
		}
	})
}

// script is calls that one run of the script decides.
type script struct {
	calls []*call
	cmd   *redis.StringCmd
}

func (l *Limiter) pipeline(ctx context.Context, scripts []*script, command, script string) {
	if len(scripts) == 0 {
		return
	}
	pipe := l.client.Pipeline()
	for _, s := range scripts {
		s.cmd = redis.NewStringCmd(ctx, l.arguments(s.calls, command, script)...)
		_ = pipe.Process(ctx, s.cmd) // only queues it
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
}

// divide sends again, call by call, what Redis refused because it is in cluster
// mode, though the client is not one of a cluster. It ran none of these.
func (l *Limiter) divide(ctx context.Context, scripts []*script) []*script {
	var kept, divided []*script
	for _, s := range scripts {
		if !s.refused("CROSSSLOT") {
			kept = append(kept, s)
			continue
		}
		l.bySlot.Store(true)
		for i := range s.calls {
			divided = append(divided, &script{calls: s.calls[i : i+1]})
		}
	}
	l.pipeline(ctx, divided, "evalsha", l.hash)
	return append(kept, divided...)
}

// refused reports whether Redis did not run s, with an error of this kind.
func (s *script) refused(kind string) bool {
	err := s.cmd.Err()
	return err != nil && strings.HasPrefix(err.Error(), kind+" ")
}

// answer gives each call its part of the answer.
func (s *script) answer() {
	all, err := s.cmd.Result()
	size := 0
	for _, c := range s.calls {
		size += replySize * len(c.keys)
	}
	if err == nil && len(all) != size {
		err = errAnswer
	}
	for _, c := range s.calls {
		if c.err = err; err == nil {
			n := replySize * len(c.keys)
			c.answer, all = reply(all[:n]), all[n:]
		}
	}
}

// together divides calls into those that one script may decide: of one slot,
// and not so many that others wait long for it.
func together(calls []*call) []*script {
	slices.SortStableFunc(calls, func(a, b *call) int { return cmp.Compare(a.slot, b.slot) })
	var scripts []*script
	for from, i := 0, 1; i <= len(calls); i++ {
		if i == len(calls) || calls[i].slot != calls[from].slot || i-from == maxScript {
			scripts = append(scripts, &script{calls: calls[from:i]})
			from = i
		}
	}
	return scripts
}

// arguments are those of a command that has calls decided.
func (l *Limiter) arguments(calls []*call, command, script string) []any {
	args := make([]any, 3, 4+2*len(calls))
	requests := make([]byte, 0, 16+len(calls)*len(calls[0].request))
	requests = number(requests, float64(l.cfg.LeaseTime.Microseconds()))
	requests = number(requests, l.testTime())
	for _, c := range calls {
		for i := range c.keys {
			args = append(args, &c.keys[i])
		}
		requests = append(requests, c.request...)
	}
	args[0], args[1], args[2] = command, script, len(args)-3
	return append(args, requests)
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

func (b *breaker) open() bool { return b.failures.Load() >= breakAfter }

// try reports whether to ask at now.
func (b *breaker) try(now time.Duration) bool {
	if !b.open() {
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
	if b.open() {
		return // stays open; a count that only grows would overflow
	}
	if b.failures.Add(1) == breakAfter {
		b.next.Store(int64(now + probeEvery))
	}
}

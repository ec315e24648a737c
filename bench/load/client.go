package load

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"time"
)

// target is one handler of a server, and the connections to it.
type target struct {
	path   string
	tokens []string
	conns  []*conn
}

func dial(ctx context.Context, addr, path string, tokens []string, n int) (*target, error) {
	t := &target{path: path, tokens: tokens}
	for range n {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err != nil {
			t.close()
			return nil, fmt.Errorf("load: %w", err)
		}
		t.conns = append(t.conns, &conn{Conn: c, r: bufio.NewReader(c)})
	}
	return t, nil
}

func (t *target) close() {
	for _, c := range t.conns {
		_ = c.Close() // what it brought was read
	}
}

// sample is what clients saw of one target in one round.
type sample struct {
	sent, answered int64
	latency, late  histogram
}

func (s *sample) merge(x *sample) {
	s.sent += x.sent
	s.answered += x.answered
	s.latency.merge(&x.latency)
	s.late.merge(&x.late)
}

// closed has every connection send one request after the other for a while.
func (t *target) closed(ctx context.Context, d time.Duration) (*sample, error) {
	end := time.Now().Add(d)
	return t.each(ctx, end, func(i int, s *sample) error {
		for last := time.Now(); last.Before(end); {
			if err := t.request(i, s); err != nil {
				return err
			}
			now := time.Now()
			s.latency.add(now.Sub(last))
			last = now
		}
		return nil
	})
}

// fixed sends so many requests a second, spread evenly over the connections
// and in time. Each is due at its time, whether those before it were answered
// or not, and is timed from then: a pause counts for all who would have come
// in it, not only for the one request that it held up.
func (t *target) fixed(ctx context.Context, start time.Time, d time.Duration, perSecond float64) (*sample, error) {
	n := len(t.conns)
	apart := time.Duration(float64(time.Second) * float64(n) / perSecond) // on one connection
	end := start.Add(d)
	return t.each(ctx, end, func(i int, s *sample) error {
		for due := start.Add(apart * time.Duration(i) / time.Duration(n)); due.Before(end); due = due.Add(apart) {
			if wait := time.Until(due); wait > 0 {
				pause(wait)
				s.late.add(time.Since(due))
			}
			if err := t.request(i, s); err != nil {
				return err
			}
			s.latency.add(time.Since(due))
		}
		return nil
	})
}

// each calls f for each connection at once, and puts together what they saw.
// All of it must be over soon after end.
func (t *target) each(ctx context.Context, end time.Time, f func(i int, s *sample) error) (*sample, error) {
	all := new(sample)
	errs := make([]error, len(t.conns))
	var mu sync.Mutex
	var wg sync.WaitGroup
	stop := context.AfterFunc(ctx, t.close)
	defer stop()
	for i, c := range t.conns {
		wg.Go(func() {
			if errs[i] = c.SetDeadline(end.Add(answerTime)); errs[i] != nil {
				return
			}
			s := new(sample)
			errs[i] = f(i, s)
			mu.Lock()
			defer mu.Unlock()
			all.merge(s)
		})
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return all, errors.Join(errs...)
}

// answerTime is how long the last answers may take.
const answerTime = 30 * time.Second

// request sends one request on a connection, with a key that is drawn, and
// reads the answer.
func (t *target) request(i int, s *sample) error {
	token := t.tokens[rand.IntN(len(t.tokens))] //nolint:gosec // which of the keys comes next is no secret
	s.sent++
	if err := t.conns[i].request(t.path, token); err != nil {
		return err
	}
	s.answered++
	return nil
}

// conn is a client that costs little, as it shares the cores with the server:
// one write, one read, and of the answer the status and the length.
type conn struct {
	net.Conn
	r   *bufio.Reader
	out []byte
}

func (c *conn) request(path, token string) error {
	c.out = append(append(append(c.out[:0], "GET "...), path...), " HTTP/1.1\r\nHost: load.example\r\nAuthorization: Bearer "...)
	c.out = append(append(c.out, token...), "\r\n\r\n"...)
	if _, err := c.Write(c.out); err != nil {
		return fmt.Errorf("load: %w", err)
	}
	line, err := c.r.ReadSlice('\n')
	if err != nil {
		return fmt.Errorf("load: %w", err)
	}
	if !bytes.HasPrefix(line, []byte("HTTP/1.1 2")) {
		return fmt.Errorf("load: %s was answered %q", path, line)
	}
	length := -1
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return fmt.Errorf("load: %w", err)
		}
		if len(line) <= len("\r\n") {
			break
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return fmt.Errorf("load: %w", err)
			}
		}
	}
	if length < 0 {
		return fmt.Errorf("load: an answer of %s has no length", path)
	}
	if _, err := c.r.Discard(length); err != nil {
		return fmt.Errorf("load: %w", err)
	}
	return nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/go-apikey/apikey"
)

// check tries what docs/nodes.md promises and prints what it saw. Its error
// holds all that failed.
func (s *service) check(ctx context.Context, w io.Writer) error {
	begun := time.Now()
	var errs []error
	for _, step := range []struct {
		name string
		run  func(context.Context) (says string, err error)
	}{
		{"one limit over all nodes", s.checkLimit},
		{"a revoke on one node", s.checkRevoke},
		{"kill -9 of a node", s.checkNodeKilled},
		{"kill -9 of Redis", s.checkRedisKilled},
		{"kill -9 of Redis, with Fallback", s.checkFallback},
		{"stopping", s.checkStop},
	} {
		says, err := step.run(ctx)
		if ctx.Err() != nil {
			err = errors.Join(err, context.Cause(ctx))
		}
		if err != nil {
			fmt.Fprintf(w, "FAIL  %s: %v\n", step.name, err)
			errs = append(errs, fmt.Errorf("%s: %w", step.name, err))
			continue
		}
		fmt.Fprintf(w, "ok    %s: %s\n", step.name, says)
	}
	if len(errs) == 0 {
		fmt.Fprintf(w, "\nchecked in %.0f s\n", time.Since(begun).Seconds())
	}
	return errors.Join(errs...)
}

// limitTime is how long the limit is under load.
const limitTime = 8 * time.Second

// checkLimit asks for far more than an owner's limit admits.
func (s *service) checkLimit(ctx context.Context) (string, error) {
	all, err := s.overload(ctx, limitTime)
	if err != nil {
		return "", err
	}
	return judgeLimit(minute, all, len(s.nodes))
}

func (s *service) overload(ctx context.Context, d time.Duration) ([]answer, error) {
	key, err := s.create(ctx, s.nodes[0].url, limited)
	if err != nil {
		return nil, err
	}
	stop := load(ctx, s.front, key.Token, 6, 4*time.Millisecond)
	err = pause(ctx, d)
	return stop(), err
}

// judgeLimit holds answers to a limit. Of any span of time no more may have
// passed than burst + rate × time; and up to the last request that was refused
// at least 99% of it must have, for by then there was less than one token left.
// A request that was answered 503 may have taken a token.
func judgeLimit(l apikey.Limit, sent []answer, nodes int) (string, error) {
	all, err := decided(sent)
	if err != nil {
		return "", err
	}
	passed, refused := with(http.StatusOK, all), with(http.StatusTooManyRequests, all)
	if others := len(all) - len(passed) - len(refused); others > 0 {
		return "", fmt.Errorf("%d of %d answers are neither 200 nor 429 nor 503", others, len(all))
	}
	if err := neverMore(l, passed); err != nil {
		return "", err
	}
	by := map[string]int{} // 2: admitted and refused
	for _, some := range [][]answer{passed, refused} {
		seen := map[string]bool{}
		for _, a := range some {
			if !seen[a.node] {
				seen[a.node] = true
				by[a.node]++
			}
		}
	}
	for node, n := range by {
		if n < 2 {
			return "", fmt.Errorf("node %s did not both admit and refuse: this shows nothing", node)
		}
	}
	if len(by) != nodes {
		return "", fmt.Errorf("%d nodes answered, not %d", len(by), nodes)
	}
	first, last := passed[0], refused[len(refused)-1]
	got := 0
	for _, a := range passed {
		if a.start.Before(last.end) {
			got++
		}
	}
	// What the limiter counted began and ended within these requests: it may have
	// given what flows in all of their time, and must have without their own.
	span := last.end.Sub(first.start)
	may := admits(l, span)
	says := fmt.Sprintf("of %d requests %d passed in %.1f s; burst + rate × time is %.0f (%.1f%%)", len(sent), got, span.Seconds(), may, 100*float64(got)/may)
	if float64(got+len(sent)-len(all)) < 0.99*admits(l, last.start.Sub(first.end)) {
		return "", errors.New(says)
	}
	return says + ", and in no span of time it was more", nil
}

// admits is burst + rate × time.
func admits(l apikey.Limit, t time.Duration) float64 {
	return float64(l.Capacity()) + float64(l.N)*float64(t)/float64(l.Per)
}

// neverMore looks at each span that begins with one admission and ends with
// another. They are in the order of their start.
func neverMore(l apikey.Limit, passed []answer) error {
	for i, from := range passed {
		var ends []time.Time
		for _, a := range passed[i:] {
			ends = append(ends, a.end)
		}
		slices.SortFunc(ends, time.Time.Compare)
		for n, end := range ends {
			span := end.Sub(from.start) + time.Microsecond // in which the limiter counts
			if may := admits(l, span); float64(n+1) > may {
				return fmt.Errorf("%d passed within %v, where burst + rate × time is %.1f", n+1, span.Round(time.Millisecond), may)
			}
		}
	}
	return nil
}

// checkRevoke revokes keys, each on another node, and asks all nodes until
// they refuse.
func (s *service) checkRevoke(ctx context.Context) (string, error) {
	var slowest time.Duration
	for _, where := range s.nodes {
		key, err := s.create(ctx, where.url, bulk)
		if err != nil {
			return "", err
		}
		if err := s.eachAdmits(ctx, key); err != nil {
			return "", err
		}
		if err := s.revoke(ctx, where.url, bulk, key.ID); err != nil {
			return "", err
		}
		revoked := time.Now()
		if err := where.answers(ctx, key.Token, http.StatusUnauthorized); err != nil {
			return "", fmt.Errorf("after it revoked the key: %w", err)
		}
		for _, n := range s.nodes {
			seen, err := refuses(ctx, n, key.Token, revoked)
			if err != nil {
				return "", err
			}
			slowest = max(slowest, seen)
		}
	}
	return fmt.Sprintf("refused by that node at once, and by the others after %v at most; the bound is %v", slowest.Round(time.Millisecond/10), maxStale), nil
}

// eachAdmits has every node read the key, so that their caches have it.
func (s *service) eachAdmits(ctx context.Context, key madeKey) error {
	for _, n := range s.nodes {
		if err := n.answers(ctx, key.Token, http.StatusOK); err != nil {
			return err
		}
	}
	return nil
}

// refuses waits until a node refuses a revoked key, and returns how long after
// the revoke that was. A request that began later than the bound must not pass.
func refuses(ctx context.Context, n *node, token string, revoked time.Time) (time.Duration, error) {
	for {
		a := work(ctx, n.url, token)
		switch {
		case a.status == http.StatusUnauthorized:
			return a.end.Sub(revoked), nil
		case a.status != http.StatusOK && a.status != http.StatusServiceUnavailable:
			return 0, fmt.Errorf("node %s answers a revoked key with status %d", n.name, a.status)
		case a.start.Sub(revoked) > maxStale:
			return 0, fmt.Errorf("node %s answers a key with status %d that was revoked %v before", n.name, a.status, a.start.Sub(revoked))
		}
		if err := pause(ctx, time.Millisecond); err != nil {
			return 0, err
		}
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/redislimit"
)

// grace is what a busy machine may take beside what the parts need.
const grace = time.Second

// checkNodeKilled kills a node under load, right after it acknowledged a
// create and a revoke.
func (s *service) checkNodeKilled(ctx context.Context) (string, error) {
	others, victim := []*node{s.nodes[0], s.nodes[2]}, s.nodes[1]
	used, err := s.create(ctx, victim.url, bulk)
	if err != nil {
		return "", err
	}
	gone, err := s.create(ctx, victim.url, bulk)
	if err != nil {
		return "", err
	}
	if err := s.eachAdmits(ctx, gone); err != nil {
		return "", err
	}
	stop := load(ctx, s.front, used.Token, 4, 4*time.Millisecond)
	if err := pause(ctx, 2*flushInterval+2*grace); err != nil { // so that most of it must be stored
		stop()
		return "", err
	}
	made, err := s.create(ctx, victim.url, bulk)
	err = errors.Join(err, s.revoke(ctx, victim.url, bulk, gone.ID))
	revoked := time.Now()
	victim.kill()
	killed := time.Now()
	err = errors.Join(err, pause(ctx, grace))
	all := stop()
	if err = errors.Join(err, s.startNode(ctx, victim)); err != nil {
		return "", err
	}
	for _, n := range others {
		if err := n.answers(ctx, made.Token, http.StatusOK); err != nil {
			return "", fmt.Errorf("a key that the killed one had made: %w", err)
		}
		if _, err := refuses(ctx, n, gone.Token, revoked); err != nil {
			return "", err
		}
		if err := s.manage(ctx, "POST", n.url+"/flush", new(struct{})); err != nil {
			return "", err
		}
	}
	stored, err := s.usage(ctx, used.ID)
	if err != nil {
		return "", err
	}
	says, err := judgeUsage(all, victim.name, killed, stored)
	if err != nil {
		return "", err
	}
	if err := victim.answers(ctx, used.Token, http.StatusOK); err != nil {
		return "", fmt.Errorf("when it was started again: %w", err)
	}
	return "what it had acknowledged holds on the others; " + says, nil
}

// judgeUsage holds what is stored to what was answered: all of it, but for the
// last interval of the node that was killed, and nothing twice.
func judgeUsage(sent []answer, victim string, killed time.Time, stored int64) (string, error) {
	all, err := decided(sent)
	if err != nil {
		return "", err
	}
	var sure, last, unknown int64 // last: what the kill may have cost
	for _, a := range all {
		switch {
		case a.status != http.StatusOK && a.status != 0:
			return "", fmt.Errorf("with one node killed the balancer answers with status %d: %s", a.status, a.body)
		case a.status == 0:
			unknown++
			continue
		case a.moved: // it may be that the killed node had counted it too
			unknown++
		}
		if a.node == victim && a.end.After(killed.Add(-flushInterval-grace)) {
			last++
		} else {
			sure++
		}
	}
	switch {
	case stored < sure:
		return "", fmt.Errorf("%d requests are counted; of %d that were answered only %d, which it answered within %v before its end, may be lost", stored, sure+last, last, flushInterval+grace)
	case stored > sure+last+unknown:
		return "", fmt.Errorf("%d requests are counted, and only %d were answered, %d failed", stored, sure+last, unknown)
	case last == 0 || sure < last:
		return "", fmt.Errorf("of %d requests the node answered %d before its end: this shows nothing", sure+last, last)
	}
	return fmt.Sprintf("of %d requests %d are not counted, all of its last %v; %d moved to another node",
		sure+last, max(0, sure+last-stored), flushInterval+grace, unknown), nil
}

// usage is how many requests of a key are stored.
func (s *service) usage(ctx context.Context, id string) (n int64, err error) {
	err = s.withKeys(ctx, func(keys *apikey.Manager) error {
		key, err := keys.Keyring(bulk, apikey.Operator("check")).Get(ctx, id)
		if err == nil {
			n = key.Usage.Requests
		}
		return err
	})
	return n, err
}

// checkRedisKilled kills Redis and starts it again.
func (s *service) checkRedisKilled(ctx context.Context) (string, error) {
	key, err := s.create(ctx, s.nodes[0].url, bulk)
	if err != nil {
		return "", err
	}
	if err := s.eachAdmits(ctx, key); err != nil {
		return "", err
	}
	s.redis.kill()
	without := time.Now()
	leased := time.Duration(0) // how long tokens in hand may be used
	if s.lease > 0 {
		leased = leaseTime
	}
	stop := load(ctx, s.front, key.Token, 4, 4*time.Millisecond)
	err = pause(ctx, leased+grace)
	all := stop()
	if err != nil {
		return "", err
	}
	slowest, err := judgeWithoutRedis(all, without.Add(leased))
	if err != nil {
		return "", err
	}
	// Who manages keys needs no limit, and so no Redis.
	gone, err := s.create(ctx, s.nodes[0].url, bulk)
	if err != nil {
		return "", err
	}
	if err := s.revoke(ctx, s.nodes[1].url, bulk, gone.ID); err != nil {
		return "", err
	}
	if _, err := refuses(ctx, s.nodes[1], gone.Token, time.Now()); err != nil {
		return "", err
	}
	if err := s.redis.start(ctx); err != nil {
		return "", err
	}
	back := time.Now()
	for _, n := range s.nodes {
		for work(ctx, n.url, key.Token).status != http.StatusOK {
			if time.Since(back) > 10*grace {
				return "", fmt.Errorf("node %s does not find a Redis that is back since %v", n.name, time.Since(back))
			}
			if err := pause(ctx, time.Millisecond); err != nil {
				return "", err
			}
		}
	}
	return fmt.Sprintf("%d requests were answered 503, in %v at most; a key could be revoked; when Redis was back all nodes went on after %v",
		len(with(http.StatusServiceUnavailable, all)), slowest.Round(time.Millisecond), time.Since(back).Round(time.Millisecond)), nil
}

// judgeWithoutRedis: nothing passes but by tokens in hand, and nobody waits long.
func judgeWithoutRedis(all []answer, from time.Time) (slowest time.Duration, err error) {
	for _, a := range all {
		took := a.end.Sub(a.start)
		slowest = max(slowest, took)
		switch {
		case a.status == http.StatusOK && a.start.Before(from):
		case a.status != http.StatusServiceUnavailable:
			return 0, fmt.Errorf("without Redis the answer is %d", a.status)
		case took > 2*grace:
			return 0, fmt.Errorf("without Redis an answer took %v", took)
		}
	}
	return slowest, nil
}

// fallbackTime is how long the nodes count for themselves under load.
const fallbackTime = 4 * time.Second

// checkFallback starts the nodes anew, so that each admits its share of a limit
// while Redis is gone, and kills Redis.
func (s *service) checkFallback(ctx context.Context) (string, error) {
	s.onFailure = redislimit.Fallback
	for _, n := range s.nodes {
		if err := errors.Join(n.stop(ctx), s.startNode(ctx, n)); err != nil {
			return "", err
		}
	}
	key, err := s.create(ctx, s.nodes[0].url, limited)
	if err != nil {
		return "", err
	}
	if err := s.eachAdmits(ctx, key); err != nil {
		return "", err
	}
	s.redis.kill()
	stop := load(ctx, s.front, key.Token, 6, 4*time.Millisecond)
	err = pause(ctx, fallbackTime)
	all := stop()
	if err = errors.Join(err, s.redis.start(ctx)); err != nil {
		return "", err
	}
	return judgeFallback(minute, all, len(s.nodes))
}

// judgeFallback holds answers to a limit, of which each node admits its share.
func judgeFallback(l apikey.Limit, all []answer, nodes int) (string, error) {
	share := apikey.Limit{Name: l.Name, N: l.N, Per: l.Per * time.Duration(nodes), Burst: l.Capacity() / nodes}
	passed := map[string][]answer{}
	for _, a := range with(http.StatusOK, all) {
		passed[a.node] = append(passed[a.node], a)
	}
	for node, some := range passed {
		if err := neverMore(share, some); err != nil {
			return "", fmt.Errorf("node %s, which has a share of one in %d: %w", node, nodes, err)
		}
	}
	return judgeLimit(l, all, nodes)
}

// checkStop stops the nodes as a deployment does: what they counted is stored.
func (s *service) checkStop(ctx context.Context) (string, error) {
	key, err := s.create(ctx, s.nodes[0].url, bulk)
	if err != nil {
		return "", err
	}
	stop := load(ctx, s.front, key.Token, 4, 4*time.Millisecond)
	err = pause(ctx, grace)
	all := stop()
	if err = errors.Join(err, s.stopNodes(ctx)); err != nil {
		return "", err
	}
	stored, err := s.usage(ctx, key.ID)
	if err != nil {
		return "", err
	}
	if all, err = decided(all); err != nil {
		return "", err
	}
	if passed := len(with(http.StatusOK, all)); passed != len(all) || stored != int64(passed) || passed == 0 {
		return "", fmt.Errorf("of %d requests %d passed, and %d are counted", len(all), passed, stored)
	}
	return fmt.Sprintf("all %d requests are counted", stored), nil
}

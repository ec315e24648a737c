package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

var client = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}

// answer is what a request got.
type answer struct {
	start, end time.Time
	status     int    // 0: none
	node       string // that answered
	moved      bool   // another node was asked before
	body       []byte
}

func send(ctx context.Context, method, url, token string) (a answer) {
	a.start = time.Now()
	defer func() { a.end = time.Now() }()
	req, err := http.NewRequestWithContext(ctx, method, url, http.NoBody)
	if err != nil {
		return a
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := client.Do(req)
	if err != nil {
		return a
	}
	defer resp.Body.Close()
	if a.body, err = io.ReadAll(resp.Body); err != nil {
		return a
	}
	a.status, a.node = resp.StatusCode, resp.Header.Get("X-Node")
	a.moved = !slices.Contains([]string{"", "1"}, resp.Header.Get("X-Tried"))
	return a
}

// work is a request as a customer sends it.
func work(ctx context.Context, url, token string) answer { return send(ctx, "GET", url+"/jobs", token) }

// answers has a customer's request be answered as expected by a node. 503 is
// what a busy machine may answer for a while.
func (n *node) answers(ctx context.Context, token string, status int) error {
	for begun := time.Now(); ; {
		a := work(ctx, n.url, token)
		if a.status == status {
			return nil
		}
		if a.status != http.StatusServiceUnavailable || time.Since(begun) > 5*grace {
			return fmt.Errorf("node %s answers with status %d, want %d: %s", n.name, a.status, status, a.body)
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
}

// manage is one as staff do, which must succeed.
func (s *service) manage(ctx context.Context, method, url string, into any) error {
	a := send(ctx, method, url, s.admin)
	if a.status != http.StatusOK {
		return fmt.Errorf("%s %s: status %d %s", method, url, a.status, strings.TrimSpace(string(a.body)))
	}
	return json.Unmarshal(a.body, into)
}

// create makes a key on the node at url.
func (s *service) create(ctx context.Context, url, owner string) (key madeKey, err error) {
	err = s.manage(ctx, "POST", url+"/keys?owner="+owner, &key)
	return key, err
}

// revoke revokes a key on the node at url.
func (s *service) revoke(ctx context.Context, url, owner, id string) error {
	var key struct{}
	return s.manage(ctx, "POST", url+"/keys/"+id+"/revoke?owner="+owner, &key)
}

// load sends requests by some workers until it is stopped, which gives the
// answers.
func load(ctx context.Context, url, token string, workers int, between time.Duration) (stop func() []answer) {
	var mu sync.Mutex
	var all []answer
	var done sync.WaitGroup
	end := make(chan struct{})
	for range workers {
		done.Go(func() {
			var mine []answer
			for running := true; running && ctx.Err() == nil; {
				mine = append(mine, work(ctx, url, token))
				select {
				case <-end:
					running = false
				case <-time.After(between):
				}
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, mine...)
		})
	}
	return func() []answer {
		close(end)
		done.Wait()
		slices.SortFunc(all, func(a, b answer) int { return a.start.Compare(b.start) })
		return all
	}
}

// decided are the answers without those of 503, with which a busy machine says
// that it could not decide in time: one of twenty at most.
func decided(all []answer) ([]answer, error) {
	busy := func(a answer) bool { return a.status == http.StatusServiceUnavailable }
	some := slices.DeleteFunc(slices.Clone(all), busy)
	if n := len(all) - len(some); n > len(all)/20 {
		return nil, fmt.Errorf("%d of %d requests were answered 503", n, len(all))
	}
	return some, nil
}

// with are the answers of this status.
func with(status int, all []answer) []answer {
	var some []answer
	for _, a := range all {
		if a.status == status {
			some = append(some, a)
		}
	}
	return some
}

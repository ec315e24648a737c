package redislimit_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/redislimit"
	"github.com/redis/go-redis/v9"
)

// startCluster starts three masters, and three replicas of them.
func startCluster(t *testing.T) []*server {
	t.Helper()
	nodes := make([]*server, 6)
	for i := range nodes {
		nodes[i] = startServer(t, "--cluster-enabled", "yes", "--cluster-require-full-coverage", "no", "--cluster-node-timeout", "1500", "--repl-ping-replica-period", "1")
	}
	for i, n := range nodes {
		n.do("cluster", "set-config-epoch", i+1)
		if i > 0 {
			n.do("cluster", "meet", "127.0.0.1", nodes[0].port)
		}
	}
	for i := range 3 {
		nodes[i].do("cluster", "addslotsrange", i*16384/3, (i+1)*16384/3-1)
	}
	for i := range 3 {
		id := nodes[i].do("cluster", "myid")
		client := nodes[i+3].client()
		eventually(t, "a replica knows its master", func() error {
			return client.Do(context.Background(), "cluster", "replicate", id).Err()
		})
	}
	for _, n := range nodes {
		client := n.client()
		eventually(t, "the cluster is up", func() error {
			info := client.ClusterInfo(context.Background()).Val()
			slots := client.ClusterSlots(context.Background()).Val() //nolint:staticcheck // ClusterShards came with Redis 7
			whole := len(slots) == 3
			for _, slot := range slots {
				whole = whole && len(slot.Nodes) == 2
			}
			if !containsLine(info, "cluster_state:ok") || !whole {
				return errors.New(strings.ReplaceAll(info, "\r\n", " "))
			}
			return nil
		})
	}
	for i := range 3 {
		eventually(t, "the replicas are in step", func() error { return inStep(nodes[i+3]) })
	}
	return nodes
}

// On a cluster, with a master killed under load, requests of the other masters'
// owners are decided throughout, all are soon again, and nothing that passed is
// forgotten but what was not yet replicated.
func TestCluster(t *testing.T) {
	t.Parallel()
	nodes := startCluster(t)
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{nodes[0].addr(), nodes[1].addr(), nodes[2].addr()}, ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = client.Close() })
	l := newLimiter(t, client, &redislimit.Config{Timeout: 500 * time.Millisecond})
	limit := apikey.Limit{Name: "year", N: 1_000_000, Per: 366 * 24 * time.Hour}
	const owners = 60
	lists := make([][]apikey.Bucket, owners)
	for i := range lists {
		owner := fmt.Sprintf("acct_%d", i)
		lists[i] = append(keyBucket(owner, "k", limit), apikey.Bucket{Scope: apikey.ScopeOwner, ID: owner, Owner: owner, Limit: limit})
	}
	var passed, failed [owners]atomic.Int64
	load := func() (stop func()) {
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		for w := range 12 {
			wg.Go(func() {
				for i := w; ctx.Err() == nil; i += 7 {
					o := i % owners
					start := time.Now()
					d, err := l.Take(context.Background(), start, 1, lists[o])
					if elapsed := time.Since(start); elapsed > 500*time.Millisecond+slack {
						t.Errorf("a decision took %v", elapsed)
					}
					if err == nil && d.Allowed {
						passed[o].Add(1)
					} else {
						failed[o].Add(1)
					}
				}
			})
		}
		return func() { cancel(); wg.Wait() }
	}
	eventually(t, "all owners are served", func() error { return serves(l, lists) })
	for i := range passed {
		failed[i].Store(0)
	}
	stop := load()
	<-time.After(time.Second)
	nodes[0].kill()
	var before [owners]int64
	for i := range before {
		before[i] = passed[i].Load()
	}
	eventually(t, "the killed master's owners are served again", func() error { return serves(l, lists) })
	stop()

	affected := 0
	for i := range owners {
		onKilled := redislimit.Slot(fmt.Sprintf("acct_%d", i)) < 16384/3
		if onKilled {
			affected++
		}
		// A pipeline's other decisions may fall with it where two masters share a part of the slots.
		if n, ok := failed[i].Load(), passed[i].Load(); !onKilled && n*10 > ok {
			t.Errorf("owner %d, whose master lives: %d failed and %d passed", i, n, ok)
		}
		d, err := l.Take(t.Context(), time.Now(), 1, lists[i])
		if err != nil {
			t.Error(err)
			continue
		}
		known := passed[i].Load()
		if onKilled { // the replica may not have heard of what was before, nor of what was under way
			known -= before[i] + 12
		}
		if spent := int64(limit.N - d.Remaining); spent < known {
			t.Errorf("owner %d: %d passed and %d are known as spent", i, known, spent)
		}
	}
	if affected == 0 || affected == owners {
		t.Errorf("%d of %d owners were on the killed master: this tested nothing", affected, owners)
	}
}

// A plain client of a server in cluster mode, which takes no script of two
// slots, serves all owners, also the first that come together.
func TestClientOfClusterNode(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--cluster-enabled", "yes")
	s.do("cluster", "addslotsrange", 0, 16383)
	eventually(t, "the cluster is up", func() error {
		if info := s.do("cluster", "info").(string); !containsLine(info, "cluster_state:ok") {
			return errors.New(info)
		}
		return nil
	})
	for _, lease := range []int{0, 10} {
		l := newLimiter(t, s.client(), &redislimit.Config{Lease: lease, Timeout: 10 * time.Second})
		var wg sync.WaitGroup
		for w := range 32 {
			wg.Go(func() {
				list := keyBucket(fmt.Sprint("o", w), fmt.Sprint("k", lease), hour)
				for i := range 10 {
					if d, _, err := take(l, list); err != nil || !d.Allowed || lease == 0 && d.Remaining != 9-i {
						t.Errorf("take %d of 10: %+v, %v", i, d, err)
						return
					}
				}
			})
		}
		wg.Wait()
	}
}

func serves(l apikey.Limiter, lists [][]apikey.Bucket) error {
	for _, list := range lists {
		if _, _, err := take(l, list); err != nil {
			return fmt.Errorf("%s: %w", list[0].Owner, err)
		}
	}
	return nil
}

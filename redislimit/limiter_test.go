package redislimit_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/apikeytest"
	"github.com/go-apikey/apikey/redislimit"
	"github.com/redis/go-redis/v9"
)

func TestRunLimiter(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	for name, cfg := range map[string]redislimit.Config{
		"exact": {},
		"lease": {Lease: 10, LeaseTime: 300 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg.Timeout = 10 * time.Second // of a busy machine
			apikeytest.RunLimiter(t, func(t *testing.T) apikey.Limiter { return newLimiter(t, s.client(), &cfg) }, apikeytest.ServerClock)
		})
	}
}

func TestNewRefuses(t *testing.T) {
	client := redis.NewClient(&redis.Options{})
	t.Cleanup(func() { _ = client.Close() })
	for name, cfg := range map[string]redislimit.Config{
		"a brace":           {Prefix: "a{"},
		"Timeout":           {Timeout: time.Microsecond},
		"negative Timeout":  {Timeout: -1},
		"OnFailure":         {OnFailure: 3},
		"Fallback of 0":     {OnFailure: redislimit.Fallback},
		"Nodes":             {Nodes: -1},
		"Lease":             {Lease: -1},
		"LeaseTime":         {LeaseTime: time.Millisecond},
		"a long LeaseTime":  {LeaseTime: time.Hour},
		"a very long Lease": {Lease: math.MaxInt},
	} {
		if _, err := redislimit.New(client, &cfg); err == nil {
			t.Errorf("%s: New took it", name)
		}
	}
	if _, err := redislimit.New(nil, nil); err == nil {
		t.Error("New took no client")
	}
	ring := redis.NewRing(&redis.RingOptions{})
	t.Cleanup(func() { _ = ring.Close() })
	if _, err := redislimit.New(ring, nil); err == nil || !strings.Contains(err.Error(), "*redis.Ring") {
		t.Errorf("New with a Ring returned %v", err)
	}
}

func TestTakeRefuses(t *testing.T) {
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	t.Cleanup(func() { _ = client.Close() })
	one := apikey.PerHour(1)
	bucket := func(owner, id string, l apikey.Limit) apikey.Bucket {
		return apikey.Bucket{Scope: apikey.ScopeKey, ID: id, Owner: owner, Limit: l}
	}
	for _, lease := range []int{0, 10} {
		l := newLimiter(t, client, &redislimit.Config{Lease: lease, OnFailure: redislimit.InsecureAdmitOnFailure})
		for _, tt := range []struct {
			name string
			n    int
			list []apikey.Bucket
			want error
		}{
			{"0 tokens", 0, []apikey.Bucket{bucket("o", "a", one)}, apikey.ErrInvalid},
			{"more than the capacity", 2, []apikey.Bucket{bucket("o", "a", one)}, apikey.ErrCost},
			{"no limit", 1, []apikey.Bucket{bucket("o", "a", apikey.Limit{})}, apikey.ErrInvalid},
			{"a bucket twice", 1, []apikey.Bucket{bucket("o", "a", one), bucket("o", "a", apikey.PerHour(2))}, apikey.ErrInvalid},
			{"two owners", 1, []apikey.Bucket{bucket("o", "a", one), bucket("p", "b", one)}, apikey.ErrInvalid},
			{"Redis gone", 1, []apikey.Bucket{bucket("o", "a", one)}, nil},
		} {
			if d, err := l.Take(t.Context(), time.Now(), tt.n, tt.list); !errors.Is(err, tt.want) || d.Allowed != (tt.want == nil) {
				t.Errorf("%s: %+v, %v; want %v", tt.name, d, err, tt.want)
			}
		}
	}
}

// Whatever the limit and the number of nodes, Fallback counts and names the
// limit that was asked for.
func TestFallbackShares(t *testing.T) {
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	t.Cleanup(func() { _ = client.Close() })
	for _, tt := range []struct {
		nodes, n int
		limit    apikey.Limit
		want     int // calls that pass at once
	}{
		{1, 1, apikey.PerHour(10), 10},
		{3, 1, apikey.PerHour(10), 3},
		{20, 1, apikey.PerHour(10), 1},
		{3, 5, apikey.PerHour(10), 1}, // more than a node's share, which must be able to pass
		{100_000, 1, apikey.Limit{Name: "x", N: 1, Per: 366 * 24 * time.Hour}, 1},
	} {
		l := newLimiter(t, client, &redislimit.Config{OnFailure: redislimit.Fallback, Nodes: tt.nodes})
		passed := 0
		for range 20 {
			d, err := l.Take(context.Background(), time.Now(), tt.n, keyBucket("o", "k", tt.limit))
			if err != nil || d.Limit != tt.limit {
				t.Fatalf("%+v: %+v, %v", tt, d, err)
			}
			if d.Allowed {
				passed++
			}
		}
		if passed != tt.want {
			t.Errorf("%+v: %d passed", tt, passed)
		}
	}
}

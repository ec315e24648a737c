package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/keycache"
	"github.com/go-apikey/apikey/redislimit"
	"github.com/go-apikey/apikey/sqlstore"
)

// What the nodes of this service go by. The check holds them to it.
const (
	maxStale       = 5 * time.Second        // how old a key may be that still admits
	limiterTimeout = 500 * time.Millisecond // of a decision; all parts share one machine here
	leaseTime      = 2 * time.Second        // of tokens taken ahead, with -lease
	flushInterval  = time.Second            // how much usage a kill -9 may cost
)

// The owners. Staff manage keys; the others have limits.
const (
	staff   = "staff"
	limited = "acme"
	bulk    = "bulk"
)

var (
	formats = []apikey.Format{{Prefix: "nodes_"}}
	minute  = apikey.PerMinute(600) // of acme, over all of its keys and all nodes
)

// plan says what an owner may do. A real one comes from the host's database.
func plan(_ context.Context, owner string) (apikey.Plan, error) {
	p := apikey.Plan{Name: owner, MaxKeys: apikey.NoCap}
	switch owner {
	case staff:
	case limited:
		p.OwnerLimits = []apikey.Limit{minute}
	case bulk:
		p.OwnerLimits = []apikey.Limit{apikey.PerMinute(1_000_000)}
	default:
		return p, errors.New("there is no such owner")
	}
	return p, nil
}

// nodeVariable has the program be a node, with the settings that it holds.
const nodeVariable = "APIKEY_NODES_NODE"

type settings struct {
	Name     string
	Database database
	Redis    string // address; "": limits are counted in this process
	Lease    int

	OnFailure redislimit.OnFailure // while Redis is gone
	Nodes     int                  // by which limits are divided then, with Fallback
}

// nodeMain is a node: it prints its address, and serves until its standard
// input ends, as it does when who started it is gone.
func nodeMain() int {
	signal.Ignore(os.Interrupt) // a Ctrl-C reaches all; who started us says when
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	logging.Disable() // that Redis is gone is in the answers
	var set settings
	err := json.Unmarshal([]byte(os.Getenv(nodeVariable)), &set)
	if err == nil {
		err = set.serve(ctx, os.Stdout)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "node %s: %v\n", set.Name, err)
		return 1
	}
	return 0
}

func (set *settings) serve(ctx context.Context, stdout io.Writer) (err error) {
	parts, err := set.open(ctx)
	if err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return errors.Join(err, parts.close(ctx))
	}
	server := &http.Server{Handler: set.routes(parts.keys), ReadHeaderTimeout: 5 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	fmt.Fprintf(stdout, "http://%s\n", listener.Addr())
	select {
	case <-ctx.Done():
	case err = <-served:
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return errors.Join(err, server.Shutdown(ctx), parts.close(ctx)) // in this order: no request finds the keys closed
}

// parts are what a node is made of, and how they are closed: in turn, the last
// one first.
type parts struct {
	keys   *apikey.Manager
	closes []func(context.Context) error
}

func (p *parts) close(ctx context.Context) error {
	var errs []error
	for i := range p.closes {
		errs = append(errs, p.closes[len(p.closes)-1-i](ctx))
	}
	return errors.Join(errs...)
}

// open puts a node together: the store, a cache in front of it that listens
// for changes, a limiter that all nodes share, and the Manager over them.
func (set *settings) open(ctx context.Context) (_ *parts, err error) {
	p := &parts{}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close(ctx))
		}
	}()
	later := func(f func(context.Context) error) { p.closes = append(p.closes, f) }

	db, err := set.Database.open()
	if err != nil {
		return nil, err
	}
	later(func(context.Context) error { return db.Close() })
	cfg := &sqlstore.Config{Listen: set.Database.listen(db)}
	if err := sqlstore.Migrate(ctx, db, set.Database.Dialect, cfg); err != nil { // one node does the work, the others wait for it
		return nil, err
	}
	store, err := sqlstore.New(db, set.Database.Dialect, cfg)
	if err != nil {
		return nil, err
	}
	cache, err := keycache.New(store, &keycache.Config{MaxStale: maxStale})
	if err != nil {
		return nil, err
	}
	later(cache.Close)
	var limiter apikey.Limiter // nil: each node for itself
	if set.Redis != "" {
		client := redis.NewClient(&redis.Options{Addr: set.Redis, DialerRetries: 1}) // or a Redis that is gone costs each attempt the whole Timeout
		later(func(context.Context) error { return client.Close() })
		shared, err := redislimit.New(client, &redislimit.Config{
			Timeout: limiterTimeout, Lease: set.Lease, LeaseTime: leaseTime,
			OnFailure: set.OnFailure, Nodes: set.Nodes,
		})
		if err != nil {
			return nil, err
		}
		later(shared.Close)
		limiter = shared
	}
	p.keys, err = apikey.New(cache, &apikey.Config{
		Formats: formats, Plan: plan, Limiter: limiter, FlushInterval: flushInterval,
		FailedAttempts: apikey.PerMinute(60),
		HTTP:           apikey.HTTPConfig{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}},
	})
	if err != nil {
		return nil, err
	}
	later(p.keys.Close)
	return p, nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/redislimit"
	"github.com/go-apikey/apikey/sqlstore"
)

type options struct {
	addr, postgres string
	sqlite         bool
	lease          int
	alone          bool // tests: each node counts limits for itself
}

// service is everything that runs.
type service struct {
	options
	dir      string // of the files of all parts
	database *database
	redis    *redisServer
	nodes    []*node
	balancer *balancer

	onFailure redislimit.OnFailure // of nodes that are started from now on
	server    *http.Server         // of the balancer
	front     string               // its URL
	admin     string               // the token of a key that manages keys
}

var nodeNames = []string{"a", "b", "c"}

// start starts the parts, the balancer last.
func start(ctx context.Context, o *options) (_ *service, err error) {
	s := &service{options: *o, balancer: newBalancer()}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.stop(ctx))
		}
	}()
	if s.dir, err = os.MkdirTemp("", "nodes"); err != nil {
		return nil, err
	}
	if s.database, err = openDatabase(ctx, o, s.dir); err != nil {
		return nil, err
	}
	if s.redis, err = startRedis(ctx, s.dir); err != nil {
		return nil, err
	}
	for _, name := range nodeNames {
		n := &node{name: name}
		s.nodes = append(s.nodes, n)
		if err := s.startNode(ctx, n); err != nil {
			return nil, err
		}
	}
	if s.admin, err = s.firstKey(ctx); err != nil {
		return nil, err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", o.addr)
	if err != nil {
		return nil, err
	}
	s.front = "http://" + listener.Addr().String()
	s.server = &http.Server{Handler: s.balancer, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = s.server.Serve(listener) }() // until stop
	return s, nil
}

// startNode starts a node, again after a kill, and tells the balancer where it is.
func (s *service) startNode(ctx context.Context, n *node) error {
	set := settings{
		Name: n.name, Database: *s.database, Redis: s.redis.addr(), Lease: s.lease,
		OnFailure: s.onFailure, Nodes: len(nodeNames),
	}
	if s.alone {
		set.Redis = ""
	}
	if err := n.start(ctx, &set); err != nil {
		return fmt.Errorf("node %s: %w", n.name, err)
	}
	s.balancer.set(n.name, n.url)
	return nil
}

// stop stops the parts in the order in which nothing is lost: no requests,
// then the nodes, which store what they counted, then what they used.
func (s *service) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	var errs []error
	if s.server != nil {
		errs = append(errs, s.server.Shutdown(ctx))
	}
	errs = append(errs, s.stopNodes(ctx))
	if s.redis != nil {
		s.redis.kill()
	}
	if s.database != nil {
		errs = append(errs, s.database.remove(ctx))
	}
	return errors.Join(append(errs, os.RemoveAll(s.dir))...)
}

func (s *service) stopNodes(ctx context.Context) error {
	var errs []error
	for _, n := range s.nodes {
		if err := n.stop(ctx); err != nil {
			errs = append(errs, fmt.Errorf("node %s: %w", n.name, err))
		}
	}
	return errors.Join(errs...)
}

// firstKey makes the key by which all others are made. Somebody has to do it
// beside the API: here it is who starts the service.
func (s *service) firstKey(ctx context.Context) (token string, err error) {
	err = s.withKeys(ctx, func(keys *apikey.Manager) error {
		issued, err := keys.Keyring(staff, apikey.Operator("nodes")).Create(ctx, apikey.KeyParams{
			Name: "Admin", Permissions: apikey.Permissions{"keys:manage"},
		})
		if err == nil {
			token = issued.Token.Reveal()
		}
		return err
	})
	return token, err
}

// withKeys lends the keys, straight from the database.
func (s *service) withKeys(ctx context.Context, f func(*apikey.Manager) error) error {
	db, err := s.database.open()
	if err != nil {
		return err
	}
	defer db.Close()
	store, err := sqlstore.New(db, s.database.Dialect, nil)
	if err != nil {
		return err
	}
	keys, err := apikey.New(store, &apikey.Config{Formats: formats, Plan: plan})
	if err != nil {
		return err
	}
	return errors.Join(f(keys), keys.Close(ctx))
}

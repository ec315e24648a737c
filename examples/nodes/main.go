// Command nodes is one service on three nodes, all on this machine: three
// processes that share a database and a Redis, and a balancer in front.
//
//	go run ./examples/nodes          serve until Ctrl-C, and say what to try
//	go run ./examples/nodes -check   try it: limits, a revoke, kill -9 of a node and of Redis
//
// It needs redis-server, which it starts itself, and PostgreSQL: the one at
// -postgres, in a schema of its own that it removes. Without PostgreSQL the
// nodes share a SQLite file. docs/nodes.md says what each part does.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	if os.Getenv(nodeVariable) != "" { // started by ourselves, to be a node
		os.Exit(nodeMain())
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "nodes:", err)
		os.Exit(1)
	}
}

// checkTime is the longest that -check may take.
const checkTime = 40 * time.Second

// run serves until ctx ends, or with -check until that is over.
func run(ctx context.Context, args []string, stdout io.Writer) (err error) {
	flags := flag.NewFlagSet("nodes", flag.ContinueOnError)
	var o options
	flags.StringVar(&o.addr, "addr", "127.0.0.1:8080", "`address` of the balancer; port 0 picks one")
	flags.StringVar(&o.postgres, "postgres", "", "`DSN` of PostgreSQL; by default APIKEY_POSTGRES, or that of user postgres at 127.0.0.1:5432")
	flags.BoolVar(&o.sqlite, "sqlite", false, "share a SQLite file, also where PostgreSQL answers")
	flags.IntVar(&o.lease, "lease", 0, "how many `tokens` a node takes ahead; 0: none, each decision is made in Redis")
	check := flags.Bool("check", false, "try what is promised, and fail if it does not hold")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *check {
		var cancel func()
		ctx, cancel = context.WithTimeoutCause(ctx, checkTime, fmt.Errorf("the check takes longer than %v", checkTime))
		defer cancel()
		o.addr = "127.0.0.1:0"
	}
	s, err := start(ctx, &o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop(ctx)) }()
	if *check {
		fmt.Fprintf(stdout, "three nodes over %s and Redis, behind %s\n\n", s.database.says, s.front)
		return s.check(ctx, stdout)
	}
	if err := s.explain(ctx, stdout); err != nil {
		return err
	}
	<-ctx.Done() // Ctrl-C
	return nil
}

// explain says what runs and what to try.
func (s *service) explain(ctx context.Context, w io.Writer) error {
	key, err := s.create(ctx, s.nodes[0].url, limited)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, `One service on three nodes, over %s and Redis:

                balancer %s
               /         |         \
`, s.database.says, s.front)
	for _, n := range s.nodes {
		fmt.Fprintf(w, "  node %s   process %-8d %s\n", n.name, n.pid(), n.url)
	}
	fmt.Fprintf(w, `               \         |         /
        database (keys, usage, history)
        Redis (limits)   process %d

KEY=%s
ADMIN=%s

600 requests a minute, over all nodes. X-Node says which one answers:
  curl -i -H "Authorization: Bearer $KEY" %s/jobs
Revoke the key on one node, and ask the others:
  curl -X POST -H "Authorization: Bearer $ADMIN" '%s/keys/%s/revoke?owner=%s'
Kill a node or Redis:
  kill -9 %d

Ctrl-C ends all of it. With -check the program tries these things itself.
`, s.redis.pid(), key.Token, s.admin, s.front, s.nodes[0].url, key.ID, limited, s.nodes[1].pid())
	return nil
}

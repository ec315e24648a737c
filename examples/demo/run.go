package demo

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/keyadmin"
)

// Main serves s until SIGINT or SIGTERM, and exits.
func Main(s *Service) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := s.run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(os.Stderr, "%s: %v\n", s.Title, err)
		os.Exit(1)
	}
}

// run serves until ctx ends, which is no error.
func (s *Service) run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet(s.Title, flag.ContinueOnError)
	addr := flags.String("addr", "127.0.0.1:8080", "`address` to listen on; port 0 picks one")
	file := flags.String("db", "", "SQLite `file` to keep keys in; without it they are kept in memory")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	store, closeStore, err := openStore(ctx, *file)
	if err == nil {
		err = errors.Join(s.serve(ctx, *addr, store, stdout), closeStore())
	}
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil // told to stop while it was starting
	}
	return err
}

func (s *Service) serve(ctx context.Context, addr string, store apikey.Store, stdout io.Writer) (err error) {
	running := &service{Service: s, people: make(map[string]Person), planOf: make(map[string]string)}
	for _, o := range s.Owners {
		running.planOf[o.ID] = o.Plan
	}
	for _, p := range s.everybody() {
		running.people[p.ID] = p
	}
	cfg := s.Config
	cfg.Plan, cfg.PlanTTL, cfg.FlushInterval = running.plan, time.Second, time.Second
	if running.keys, err = apikey.New(store, &cfg); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, withTime(ctx, running.keys.Close)) }() // after the server: no request finds it closed
	say := ""
	if s.Seed != nil {
		if say, err = s.Seed(ctx, running.keys); err != nil {
			return err
		}
	}
	handler, err := running.handler()
	if err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	base := "http://" + listener.Addr().String()
	fmt.Fprint(stdout, s.guide(base)+say)
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	if withTime(ctx, server.Shutdown) != nil {
		return server.Close() // somebody did not end a request in time
	}
	return nil
}

// guide is what to do with a service that runs at base.
func (s *Service) guide(base string) string {
	return "listening on " + base + strings.NewReplacer("{base}", base, "{user}", s.People[0].ID).Replace(`

Open {base}/demo/ to manage keys, or make one here:

    curl -H 'X-Demo-User: {user}' -H 'Content-Type: application/json' -d '{"name":"CI","permissions":["*"]}' {base}/dashboard/keys

With its token in $TOKEN:

`) + "    curl " + strings.ReplaceAll(s.Try, "{base}", base) + "\n"
}

// withTime calls f with a moment to finish, though ctx has ended.
func withTime(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	return f(ctx)
}

// handler is all that the program serves: the API, the dashboard, and /demo/.
func (s *service) handler() (http.Handler, error) {
	admin, err := keyadmin.New(s.keys, &keyadmin.Config{
		Identify: s.identify, SwitchOwner: switchOwner, SignIn: "/demo/",
		Title: s.Title + " API keys",
	})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	s.Routes(s.keys, mux)
	mux.Handle(dashboard, admin)
	mux.HandleFunc("GET /demo/{$}", s.whoIsThere)
	mux.HandleFunc("GET /demo/login", s.login)
	mux.HandleFunc("GET /demo/heap", heap)
	mux.Handle("POST /demo/plan", http.NewCrossOriginProtection().Handler(http.HandlerFunc(s.setPlan)))
	return mux, nil
}

// heap is GET /demo/heap, for who tests how much memory the program holds.
func heap(w http.ResponseWriter, _ *http.Request) {
	var m runtime.MemStats
	for range 2 { // what finalisers and pools held is gone after the second
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	Answer(w, http.StatusOK, map[string]uint64{"live_bytes": m.HeapAlloc})
}

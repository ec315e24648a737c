package load

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/memstore"
)

// serverVariable is set in the environment of a process that is to be a server.
const serverVariable = "APIKEY_BENCH_LOAD_SERVER"

// mainCalled is whether this program would be a server if it were started as one.
var mainCalled atomic.Bool

// Main must be the first call of the main function, or TestMain, of each
// program that calls [Run]. Run starts the program again, with a variable in
// its environment, for the servers; there Main serves, and does not return.
func Main() {
	mainCalled.Store(true)
	if os.Getenv(serverVariable) == "" {
		return
	}
	if err := obey(context.Background(), os.Stdin, os.Stdout); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err) // nowhere else to say it
		os.Exit(1)
	}
	os.Exit(0)
}

// order is what the server's process is told, a line of JSON each. It ends
// with its standard input.
type order struct {
	Do    string        `json:"do"` // start, gauge, disturb, rest, probe, stop
	Setup setup         `json:"setup"`
	Fresh bool          `json:"fresh"` // gauge: see read
	By    string        `json:"by"`    // disturb: by what
	Hard  bool          `json:"hard"`  // disturb: without a breath
	For   time.Duration `json:"for"`   // probe, disturb: how long it is looked at
}

// setup is what a server has.
type setup struct {
	Guarded     bool          `json:"guarded"` // else it has no keys at all
	Keys        int           `json:"keys"`
	Owners      int           `json:"owners"`
	IdleBuckets int           `json:"idle_buckets"`
	SweepAfter  time.Duration `json:"sweep_after"` // as many more are to be swept so long after those
	Flush       time.Duration `json:"flush"`       // apikey.Config.FlushInterval; 0: its default
}

// answer is what it says, to each.
type answer struct {
	Error  string   `json:"error,omitempty"`
	Addr   string   `json:"addr,omitempty"`
	Tokens []string `json:"tokens,omitempty"`
	Gauge  gauge    `json:"gauge"`
	Work   Work     `json:"work"`
	Waits  []Wait   `json:"waits,omitempty"`
	Probe  *probed  `json:"probe,omitempty"`
	Counts Counts   `json:"counts"`
}

// obey does what it is told until there is nothing more to read.
func obey(ctx context.Context, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	orders, answers := json.NewDecoder(in), json.NewEncoder(out)
	s := new(server)
	for {
		var o order
		if err := orders.Decode(&o); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("load: %w", err)
		}
		var a answer
		if err := s.do(ctx, &o, &a); err != nil {
			a.Error = err.Error()
		}
		if err := answers.Encode(&a); err != nil {
			return fmt.Errorf("load: %w", err)
		}
	}
}

// server is what is measured.
type server struct {
	m       *apikey.Manager // nil: none
	store   *memstore.Store
	buckets *apikey.TokenBuckets
	tokens  []string
	owned   []ownedKey // in the order of tokens
	idle    idleBuckets

	http           http.Server
	guarded, plain http.Handler
	admin          http.Handler // guarded by a permission that no key has

	served, servedGuarded atomic.Int64
	own, ownRefused       atomic.Int64
	disturbance           func() // ends it
	disturbed             chan error
	sum                   [sha256.Size]byte
	work                  Work
	before                map[string]waiting
}

type ownedKey struct{ owner, id string }

func (s *server) do(ctx context.Context, o *order, a *answer) (err error) {
	switch o.Do {
	case "start":
		if err := s.start(ctx, &o.Setup); err != nil {
			return err
		}
		a.Tokens = s.tokens
		a.Addr, err = s.listen(ctx)
	case "gauge":
		a.Gauge = read(o.Fresh)
	case "disturb":
		s.disturb(ctx, o)
	case "rest":
		a.Work, a.Waits, err = s.rest()
	case "probe":
		a.Probe, err = s.probe(o.For)
	case "stop":
		a.Counts, err = s.stop(ctx)
	default:
		err = fmt.Errorf("load: no order %q", o.Do)
	}
	return err
}

// needed is what the guarded handler asks for. Every key has it by a wildcard.
const needed apikey.Permission = "calls:create"

func (s *server) start(ctx context.Context, set *setup) (err error) {
	watchWaits()
	s.plain = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = jsonType
		_, _ = w.Write(body) // the client will say what it misses
	})
	if !set.Guarded {
		return nil
	}
	s.store = memstore.New()
	s.buckets = apikey.NewTokenBuckets()
	limits := []apikey.Limit{{Name: "minute", N: 600_000_000, Per: time.Minute}} // nobody gets there
	s.m, err = apikey.New(s.store, &apikey.Config{
		Formats:       []apikey.Format{{Prefix: "rg_live_", Environment: "live"}},
		Limiter:       s.buckets,
		FlushInterval: set.Flush,
		Plan: func(context.Context, string) (apikey.Plan, error) {
			return apikey.Plan{Name: "pro", MaxKeys: apikey.NoCap, OwnerLimits: limits, KeyLimits: limits}, nil
		},
	})
	if err != nil {
		return err
	}
	s.guarded, s.admin = s.m.Require(needed)(s.plain), s.m.Require("admin:write")(s.plain)
	for i := range set.Keys {
		owner := "acct_" + strconv.Itoa(i%set.Owners)
		issued, err := s.m.Keyring(owner, operator).Create(ctx, apikey.KeyParams{
			Name: "Key " + strconv.Itoa(i), Permissions: apikey.Permissions{"calls:*", "templates:read"},
		})
		if err != nil {
			return err
		}
		s.tokens = append(s.tokens, issued.Token.Reveal())
		s.owned = append(s.owned, ownedKey{owner, issued.Key.ID})
	}
	if err := s.useAll(ctx, true); err != nil {
		return err
	}
	if err := s.m.Flush(ctx); err != nil { // or the first round would have it
		return err
	}
	return s.idle.fill(ctx, s.buckets, set)
}

var (
	operator = apikey.Operator("load")
	jsonType = []string{"application/json"}
	body     = []byte("{\"ok\":true}\n")
)

// listen serves the handlers, and counts what reaches them.
func (s *server) listen(ctx context.Context) (addr string, err error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	count := func(n *atomic.Int64) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n.Add(1)
			s.plain.ServeHTTP(w, r)
		})
	}
	mux := http.NewServeMux()
	mux.Handle("GET /"+Unguarded, count(&s.served))
	if s.m != nil {
		mux.Handle("GET /"+Guarded, s.m.Require(needed)(count(&s.servedGuarded)))
	}
	s.http.Handler, s.http.ReadHeaderTimeout = mux, time.Minute
	go func() { _ = s.http.Serve(l) }() // a client that is not answered says so
	return l.Addr().String(), nil
}

// useAll lets in every key twice, so that each has its buckets and its
// Principal. It leaves its processor to others often: not hard, a third of it.
func (s *server) useAll(ctx context.Context, hard bool) error {
	for i, token := range s.tokens {
		if i%64 == 0 {
			runtime.Gosched()
			if !hard {
				pause(200 * time.Microsecond)
			}
		}
		for range 2 {
			if _, _, err := s.m.Verify(ctx, apikey.Request{Token: token, All: []apikey.Permission{needed}}); err != nil {
				return err
			}
		}
		s.own.Add(2)
	}
	return nil
}

// stop closes the server, and says what it and the Store counted.
func (s *server) stop(ctx context.Context) (c Counts, err error) {
	if err := s.http.Shutdown(ctx); err != nil {
		return c, err
	}
	c.Guarded = s.servedGuarded.Load()
	c.Served = s.served.Load() + c.Guarded
	c.Own, c.OwnRefused = s.own.Load(), s.ownRefused.Load()
	if s.m == nil {
		return c, nil
	}
	if err := s.m.Close(ctx); err != nil {
		return c, err
	}
	for q := (apikey.Query{AllOwners: true, Limit: 1000, At: time.Now()}); ; {
		page, err := s.store.List(ctx, q)
		if err != nil {
			return c, err
		}
		for _, k := range page.Keys {
			c.Stored += k.Usage.Requests
			c.StoredRefused += k.Usage.Denied
		}
		if q.After = page.Next; q.After == "" {
			return c, nil
		}
	}
}

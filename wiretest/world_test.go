package wiretest

import (
	"context"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/internal/secretwatch"
	"github.com/go-apikey/apikey/memstore"
)

// ownerA has K and L.
const ownerA = "acct_A"

var operator = apikey.Operator("wiretest")

// settings is what a case may ask for of its world.
type settings struct {
	config apikey.Config
	policy *apikey.Policy // of the route; nil: Require()
	plan   func(context.Context, string) (apikey.Plan, error)
}

// world is a service with a guarded route, all of one case's own.
type world struct {
	store   *countingStore
	manager *apikey.Manager
	clock   *clock
	addr    string

	issued *apikey.Issued // K
	k      string         // its token
	l      string         // the token of another key of the same owner
	lID    string

	serving   atomic.Bool // Plan is the case's from then on
	runs      atomic.Int64
	bodyReads atomic.Int64
	parsed    atomic.Bool   // something parsed query or body as a form
	served    chan struct{} // one for each request that the guard is done with

	mu     sync.Mutex
	events []apikey.Event
}

// newWorld makes a world, with K and L in it, and serves it after given.
func newWorld(t *testing.T, set func(*settings), given func(*testing.T, *world)) *world {
	t.Helper()
	w := &world{
		store:  &countingStore{inner: memstore.New()},
		clock:  &clock{},
		served: make(chan struct{}, 100),
	}
	w.clock.set(time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC))
	s := settings{config: apikey.Config{
		Formats:       []apikey.Format{{Prefix: "rd_sk_", Environment: "live"}, {Prefix: "rd_test_", Environment: "test"}},
		FlushInterval: time.Hour, // only when told
		StoreTimeout:  time.Minute,
		Now:           w.clock.now,
		OnEvent:       w.event,
	}}
	if set != nil {
		set(&s)
	}
	if s.plan != nil {
		s.config.Plan = func(ctx context.Context, owner string) (apikey.Plan, error) {
			if !w.serving.Load() {
				return apikey.Plan{Name: "setup", MaxKeys: apikey.NoCap}, nil
			}
			return s.plan(ctx, owner)
		}
	}
	m, err := apikey.New(w.store, &s.config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	w.manager = m
	w.issued = w.create(t, apikey.KeyParams{Name: "K", Permissions: apikey.Permissions{"calls:read"}})
	w.k = w.issued.Token.Reveal()
	l := w.create(t, apikey.KeyParams{Name: "L"})
	w.l, w.lID = l.Token.Reveal(), l.Key.ID
	if given != nil {
		given(t, w)
	}
	guard := m.Require()
	if s.policy != nil {
		guard = m.Guard(*s.policy)
	}
	w.serve(t, guard)
	return w
}

func (w *world) keyring() *apikey.Keyring { return w.manager.Keyring(ownerA, operator) }

func (w *world) create(t *testing.T, p apikey.KeyParams) *apikey.Issued {
	t.Helper()
	issued, err := w.keyring().Create(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return issued
}

// update changes K.
func (w *world) update(t *testing.T, u apikey.KeyUpdate) {
	t.Helper()
	if _, err := w.keyring().Update(t.Context(), w.issued.Key.ID, u); err != nil {
		t.Fatal(err)
	}
}

// serve starts a server of HTTP/1.1 and of HTTP/2 without TLS, on which /calls
// is guarded.
func (w *world) serve(t *testing.T, guard func(http.Handler) http.Handler) {
	t.Helper()
	w.events = nil
	w.serving.Store(true)
	guarded := guard(http.HandlerFunc(w.handle))
	mux := http.NewServeMux()
	mux.HandleFunc("/calls", func(rw http.ResponseWriter, r *http.Request) {
		r.Body = &countingBody{ReadCloser: r.Body, reads: &w.bodyReads}
		guarded.ServeHTTP(rw, r)
		if r.Form != nil || r.PostForm != nil || r.MultipartForm != nil {
			w.parsed.Store(true)
		}
		w.served <- struct{}{}
	})
	server := &http.Server{Handler: mux, Protocols: new(http.Protocols), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.addr = listener.Addr().String()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener) // until it is closed
	}()
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		<-done
	})
}

// anonymous is what the handler answers where it sees no Principal.
const anonymous = "nobody"

// handle answers with the key that it was told of.
func (w *world) handle(rw http.ResponseWriter, r *http.Request) {
	w.runs.Add(1)
	who := anonymous
	if p, ok := apikey.FromContext(r.Context()); ok {
		who = p.KeyID()
	}
	_, _ = io.WriteString(rw, who) // to a client that may be gone
}

func (w *world) event(_ context.Context, e apikey.Event) {
	secretwatch.Event("wiretest", e)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, e)
}

// state is what a refusal must leave as it is, and what it is counted in.
type state struct {
	records map[string]string // Record.Bytes by key
	usage   map[string]apikey.Usage
	runs    int64
	events  []apikey.Event
	calls   int64
}

// look reads the world's state. The calls that this itself makes are in calls.
func (w *world) look(t *testing.T) state {
	t.Helper()
	if err := w.manager.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := state{records: make(map[string]string), usage: make(map[string]apikey.Usage), runs: w.runs.Load()}
	page, err := w.store.inner.List(t.Context(), apikey.Query{AllOwners: true, Limit: 100, At: w.clock.now()})
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range page.Keys {
		rec, err := w.store.inner.Get(t.Context(), key.ID)
		if err != nil {
			t.Fatal(err)
		}
		s.records[key.ID] = string(rec.Bytes())
		s.usage[key.ID] = key.Usage
	}
	w.mu.Lock()
	s.events = append(s.events, w.events...)
	w.mu.Unlock()
	s.calls = w.store.calls.Load()
	return s
}

// countingBody counts who reads a request's body.
type countingBody struct {
	io.ReadCloser
	reads *atomic.Int64
}

func (b *countingBody) Read(p []byte) (int, error) {
	b.reads.Add(1)
	return b.ReadCloser.Read(p)
}

// clock is set by hand.
type clock struct{ micro atomic.Int64 }

func (c *clock) now() time.Time          { return time.UnixMicro(c.micro.Load()).UTC() }
func (c *clock) set(t time.Time)         { c.micro.Store(t.UnixMicro()) }
func (c *clock) advance(d time.Duration) { c.micro.Add(d.Microseconds()) }

// countingStore counts every call of a memstore. It may wait, for all that the
// Manager knows.
type countingStore struct {
	inner *memstore.Store
	calls atomic.Int64
	get   func(ctx context.Context, ref string) (*apikey.Record, error) // in place of inner's; nil: inner's
}

func (s *countingStore) Get(ctx context.Context, ref string) (*apikey.Record, error) {
	s.calls.Add(1)
	if s.get != nil {
		return s.get(ctx, ref)
	}
	return s.inner.Get(ctx, ref)
}

func (s *countingStore) Create(ctx context.Context, rec *apikey.Record, w apikey.Write) error {
	s.calls.Add(1)
	secretwatch.Record(rec.Bytes())
	return s.inner.Create(ctx, rec, w)
}

func (s *countingStore) Update(ctx context.Context, rec *apikey.Record, w apikey.Write) error {
	s.calls.Add(1)
	secretwatch.Record(rec.Bytes())
	return s.inner.Update(ctx, rec, w)
}

func (s *countingStore) List(ctx context.Context, q apikey.Query) (apikey.Page, error) {
	s.calls.Add(1)
	return s.inner.List(ctx, q)
}

func (s *countingStore) AddUsage(ctx context.Context, b apikey.UsageBatch) error {
	s.calls.Add(1)
	return s.inner.AddUsage(ctx, b)
}

func (s *countingStore) Delete(ctx context.Context, id string, w apikey.Write) error {
	s.calls.Add(1)
	return s.inner.Delete(ctx, id, w)
}

// counts is what usage says of a key, without times.
type counts struct{ Requests, Limited, Denied int64 }

// countsOf leaves the times out of usage, and adds rise to one key's.
func countsOf(usage map[string]apikey.Usage, id string, rise counts) map[string]counts {
	out := make(map[string]counts, len(usage))
	for key, u := range maps.All(usage) {
		c := counts{u.Requests, u.Limited, u.Denied}
		if key == id {
			c = counts{c.Requests + rise.Requests, c.Limited + rise.Limited, c.Denied + rise.Denied}
		}
		out[key] = c
	}
	return out
}

//go:build linux

package faulttest

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/go-apikey/apikey"
)

// probe makes requests with a good and a revoked key, one after another, and
// notes how they are answered.
type probe struct {
	t             *testing.T
	handler       http.Handler
	good, revoked string

	mu      sync.Mutex
	longest time.Duration
	down    int       // answers of 503
	upSince time.Time // when the good key was first admitted after a 503; zero: it is not
	admits  int
}

// startProbe makes the keys and starts the requests, which the test's end stops.
func startProbe(t *testing.T, m *apikey.Manager) *probe {
	t.Helper()
	ring := m.Keyring("probe", apikey.Operator("test"))
	token := func() (id, token string) {
		issued, err := ring.Create(t.Context(), apikey.KeyParams{Name: "probe"})
		if err != nil {
			t.Fatal(err)
		}
		return issued.Key.ID, issued.Token.Reveal()
	}
	p := &probe{t: t, handler: m.Require()(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))}
	_, p.good = token()
	id, revoked := token()
	p.revoked = revoked
	if _, err := ring.Revoke(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, good := range []bool{true, false} {
		wg.Go(func() {
			for ctx.Err() == nil {
				p.request(good)
				wait(2 * time.Millisecond)
			}
		})
	}
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	return p
}

func (p *probe) request(good bool) {
	token := p.revoked
	if good {
		token = p.good
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	began := time.Now()
	p.handler.ServeHTTP(w, r)
	took := time.Since(began)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.longest = max(p.longest, took)
	switch {
	case w.Code == http.StatusServiceUnavailable:
		p.down++
		if good {
			p.upSince = time.Time{}
		}
	case good && w.Code == http.StatusOK:
		p.admits++
		if p.upSince.IsZero() {
			p.upSince = time.Now()
		}
	case !good && w.Code == http.StatusUnauthorized:
	case good:
		p.t.Errorf("a good key is answered %d", w.Code)
	default:
		p.t.Errorf("a revoked key is answered %d", w.Code)
	}
}

// recovery waits until the good key is admitted again, and says how long after back.
func (p *probe) recovery(back time.Time) time.Duration {
	p.t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); wait(time.Millisecond) {
		p.mu.Lock()
		up, admits := p.upSince, p.admits
		p.admits = 0
		p.mu.Unlock()
		if !up.IsZero() && admits > 0 {
			return max(0, up.Sub(back))
		}
	}
	p.t.Fatal("the good key is not admitted 20 s after the database is back")
	return 0
}

// answers are what was noted since the last time.
func (p *probe) answers() (longest time.Duration, down int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	longest, down = p.longest, p.down
	p.longest, p.down = 0, 0
	return longest, down
}

// slow is how much longer things may take on a machine that does much else.
const slow = 2 * time.Second

// check is what holds of every fault: 503 within StoreTimeout while it lasts,
// and an end to it by itself.
func (p *probe) check(longest, recovery time.Duration, unnoticed bool) {
	p.t.Helper()
	if longest > storeTimeout+slow {
		p.t.Errorf("a verification took %v, with a StoreTimeout of %v", longest, storeTimeout)
	}
	if recovery > time.Second+slow {
		p.t.Errorf("the first key was admitted %v after the database was back, want 1s", recovery)
	}
	if unnoticed {
		p.t.Error("nobody was answered 503 during the fault")
	}
}

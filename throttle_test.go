package apikey_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/internal/secretwatch"
)

// throttled is a world that counts three bad tokens at once and one more every
// twenty seconds, with a good token, an unknown one, a wrong secret of the good
// one's key, and one whose checksum is wrong.
func throttled(t *testing.T) (w *world, good, unknown, wrong, mistyped string) {
	t.Helper()
	w = newWorld(t, func(c *apikey.Config) {
		c.FailedAttempts = apikey.Limit{Name: "failed", N: 3, Per: time.Minute}
	})
	good = must[*apikey.Issued](t)(w.ring().Create(t.Context(), apikey.KeyParams{Name: "a"})).Token.Reveal()
	elsewhere := newWorld(t)
	unknown = must[*apikey.Issued](t)(elsewhere.ring().Create(t.Context(), apikey.KeyParams{Name: "gone"})).Token.Reveal()
	same := must[*apikey.Key](t)(elsewhere.ring().Import(t.Context(), apikey.ImportParams{KeyParams: apikey.KeyParams{Name: "same ID"}, Token: good}))
	wrong = must[*apikey.Issued](t)(elsewhere.ring().Rotate(t.Context(), same.ID, apikey.RotateParams{})).Token.Reveal()
	return w, good, unknown, wrong, good[:len(good)-6] + "000000"
}

func (w *world) from(t *testing.T, peer, token string) (reason apikey.Reason, wait time.Duration) {
	t.Helper()
	r := apikey.Request{Token: token}
	if peer != "" {
		r.Peer = netip.MustParseAddr(peer)
	}
	_, _, err := w.Verify(t.Context(), r)
	if err == nil {
		return "", 0
	}
	denial, ok := errors.AsType[*apikey.Denial](err)
	if !ok {
		t.Fatal(err)
	}
	return denial.Reason, denial.Decision.RetryAfter
}

func TestThrottle(t *testing.T) {
	w, good, unknown, wrong, mistyped := throttled(t)
	const peer = "192.0.2.7"
	ask := func(from, token string, want apikey.Reason, wantWait time.Duration) {
		t.Helper()
		if reason, wait := w.from(t, from, token); reason != want || wait != wantWait {
			t.Errorf("from %q: %q, wait %v; want %q, %v", from, reason, wait, want, wantWait)
		}
	}
	// What is not counted: no peer, a wrong checksum, a proven secret.
	for range 10 {
		ask("", unknown, apikey.ReasonInvalid, 0)
		ask(peer, mistyped, apikey.ReasonInvalid, 0)
		ask(peer, good, "", 0)
	}
	ask(peer, unknown, apikey.ReasonInvalid, 0)
	ask(peer, wrong, apikey.ReasonInvalid, 0)
	ask("::ffff:192.0.2.7", unknown, apikey.ReasonInvalid, 0) // the same address
	w.events = nil
	for range 3 {
		ask(peer, wrong, apikey.ReasonThrottled, 20*time.Second)
		ask(peer, unknown, apikey.ReasonThrottled, 20*time.Second)
		ask(peer, good, "", 0)
		ask(peer, mistyped, apikey.ReasonInvalid, 0)
	}
	told := 0
	for _, e := range w.events {
		if e.Reason == apikey.ReasonThrottled {
			told++
		}
	}
	if told != 1 {
		t.Errorf("%d events of throttling one peer, want 1", told)
	}
	ask("198.51.100.1", unknown, apikey.ReasonInvalid, 0) // somebody else
	w.clock.add(20 * time.Second)
	ask(peer, unknown, apikey.ReasonInvalid, 0)
	ask(peer, unknown, apikey.ReasonThrottled, 20*time.Second)
	w.clock.add(-time.Hour) // a clock that goes back holds nobody for an hour
	ask(peer, unknown, apikey.ReasonThrottled, 20*time.Second)
	w.clock.add(20 * time.Second)
	ask(peer, unknown, apikey.ReasonInvalid, 0)
}

func TestThrottleCountsIPv6ByNetwork(t *testing.T) {
	w, _, unknown, _, _ := throttled(t)
	for _, peer := range []string{"2001:db8::1", "2001:db8::2", "2001:db8:0:0:ffff::"} {
		if reason, _ := w.from(t, peer, unknown); reason != apikey.ReasonInvalid {
			t.Errorf("from %s: %q", peer, reason)
		}
	}
	if reason, _ := w.from(t, "2001:db8::3", unknown); reason != apikey.ReasonThrottled {
		t.Errorf("the fourth of a /64: %q", reason)
	}
	if reason, _ := w.from(t, "2001:db8:0:1::", unknown); reason != apikey.ReasonInvalid {
		t.Errorf("from another /64: %q", reason)
	}
}

// TestThrottleAnswer: 429 with Retry-After alone, for whoever the proxy's
// header does not make somebody else.
func TestThrottleAnswer(t *testing.T) {
	w, good, unknown, _, _ := throttled(t)
	answer := func(token, forwarded string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("X-Api-Key", token)
		r.Header.Set("X-Forwarded-For", forwarded)
		rec := secretwatch.Recorder(t)
		w.Require()(http.NotFoundHandler()).ServeHTTP(rec, r)
		return rec
	}
	for _, forwarded := range []string{"198.51.100.1", "198.51.100.2", "198.51.100.3"} {
		if got := answer(unknown, forwarded); got.Code != http.StatusUnauthorized {
			t.Errorf("%d", got.Code)
		}
	}
	got := answer(unknown, "198.51.100.4") // one peer, whatever it says
	h := got.Header()
	if got.Code != http.StatusTooManyRequests || h.Get("Retry-After") != "20" || h.Get("WWW-Authenticate") != "" || h.Get("RateLimit") != "" || h.Get("Cache-Control") != "no-store" {
		t.Errorf("%d %v %s", got.Code, h, got.Body)
	}
	if got := answer(good, "198.51.100.4"); got.Code != http.StatusNotFound {
		t.Errorf("a good token of the same peer: %d", got.Code)
	}
}

// TestLongThrottleMemory: the table has a fixed size, however many addresses
// come.
func TestLongThrottleMemory(t *testing.T) {
	n := 100_000
	if os.Getenv("APIKEY_LONG") != "" {
		n = 10_000_000
	}
	w, _, unknown, _, _ := throttled(t)
	w.events = nil
	before := heap()
	for i := range n {
		peer := netip.AddrFrom4([4]byte{byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)})
		if _, _, err := w.Verify(t.Context(), apikey.Request{Token: unknown, Peer: peer}); err == nil {
			t.Fatal("an unknown token passed")
		}
		w.events = w.events[:0]
	}
	if after := heap(); after > before+16<<20 {
		t.Errorf("%d addresses grew the heap by %d KiB, must be below 16 MiB", n, (after-before)>>10)
	}
}

package load

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// serve is a server at which one request in all takes that long.
func serve(t *testing.T, pause time.Duration, status int) *target {
	var first atomic.Bool
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer token" {
			t.Errorf("Authorization: %q", r.Header["Authorization"])
		}
		if first.CompareAndSwap(false, true) {
			<-time.After(pause)
		}
		w.WriteHeader(status)
		_, _ = w.Write(body)
	}))
	t.Cleanup(srv.Close)
	c, err := dial(t.Context(), strings.TrimPrefix(srv.URL, "http://"), "/", []string{"token"}, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	return c
}

// TestPauseCountsForAll holds that at a fixed rate a pause counts for every
// request that was due in it, where a closed loop sees it once.
func TestPauseCountsForAll(t *testing.T) {
	const stall, round = 200 * time.Millisecond, 400 * time.Millisecond
	fixed := serve(t, stall, http.StatusOK)
	s, err := fixed.fixed(t.Context(), time.Now(), round, 500)
	if err != nil {
		t.Fatal(err)
	}
	if s.sent != 200 || s.answered != 200 || s.latency.N != 200 {
		t.Errorf("%d sent, %d answered, %d timed, want 200 each", s.sent, s.answered, s.latency.N)
	}
	// One was due every 2 ms, so that 97 waited longer than 5 ms.
	if s.latency.Long < 97 || s.latency.Max < stall {
		t.Errorf("%d waited for a pause of %v, the longest %v; want 97 or more", s.latency.Long, stall, s.latency.Max)
	}

	closed := serve(t, stall, http.StatusOK)
	if s, err = closed.closed(t.Context(), round); err != nil {
		t.Fatal(err)
	}
	if s.latency.Max < stall || s.latency.percentile(0.5) > stall/2 || s.sent != s.answered || s.sent < 2 {
		t.Errorf("%d sent, %d answered, half of them within %v, the longest %v", s.sent, s.answered, s.latency.percentile(0.5), s.latency.Max)
	}
}

func TestAnswerThatIsNone(t *testing.T) {
	c := serve(t, 0, http.StatusForbidden)
	if _, err := c.closed(t.Context(), time.Second); err == nil || !strings.Contains(err.Error(), "403") {
		t.Errorf("an answer of 403: %v", err)
	}
}

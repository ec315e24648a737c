package leak_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-apikey/apikey/leak"
)

// clock is a Config.Now that the test turns.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) turn(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func TestKeysAreFetchedSeldom(t *testing.T) {
	g, c := newGitHub(), newClock()
	t.Cleanup(g.Close)
	keys := leak.GitHubKeys(&leak.KeysConfig{URL: g.URL, Now: c.Now})
	down := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }) // GitHub's rate limit
	other := newSigner()
	rolled := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(keyList("rolled", &other.private.PublicKey))
	})
	for i, step := range []struct {
		what    string
		turn    time.Duration
		list    *http.HandlerFunc
		keyID   string
		ok      bool
		unknown bool
		fetches int64
	}{
		{"the first asks", 0, nil, g.keyID, true, false, 1},
		{"the second is known", 0, nil, g.keyID, true, false, 1},
		{"an unknown one within the minute", 59 * time.Second, nil, "unknown", false, true, 1},
		{"an unknown one after it", time.Second, nil, "unknown", false, true, 2},
		{"and another", 0, nil, "rolled", false, true, 2},
		{"a known one meanwhile", 0, nil, g.keyID, true, false, 2},
		{"GitHub refuses", time.Minute, &down, "rolled", false, false, 3},
		{"still known", 0, &down, g.keyID, true, false, 3},
		{"it is not asked again at once", 59 * time.Second, &rolled, "rolled", false, false, 3},
		{"the new key", time.Second, &rolled, "rolled", true, false, 4},
		{"the old one is withdrawn", 0, &rolled, g.keyID, false, true, 4},
		{"under an hour old", 59*time.Minute + 59*time.Second, &down, "rolled", true, false, 4},
		{"an hour old, and GitHub refuses", time.Second, &down, "rolled", true, false, 5},
		{"is asked once a minute", 59 * time.Second, &down, "rolled", true, false, 5},
		{"and answers", time.Second, nil, "rolled", false, true, 6},
	} {
		c.turn(step.turn)
		g.list.Store(step.list)
		key, err := keys(t.Context(), step.keyID)
		if (err == nil) != step.ok || (key != nil) != step.ok || errors.Is(err, leak.ErrUnknownKey) != step.unknown {
			t.Errorf("step %d, %s: %v, %v", i, step.what, key != nil, err)
		}
		if n := g.fetches.Load(); n != step.fetches {
			t.Errorf("step %d, %s: %d fetches, want %d", i, step.what, n, step.fetches)
		}
	}
}

// Whatever is asked for at once, the list is fetched once.
func TestKeysAtOnce(t *testing.T) {
	g, c := newGitHub(), newClock()
	t.Cleanup(g.Close)
	keys := leak.GitHubKeys(&leak.KeysConfig{URL: g.URL, Now: c.Now})
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			if i%2 == 0 {
				if _, err := keys(t.Context(), g.keyID); err != nil {
					t.Error(err)
				}
			} else if _, err := keys(t.Context(), "unknown"); !errors.Is(err, leak.ErrUnknownKey) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := g.fetches.Load(); n != 1 {
		t.Errorf("%d fetches", n)
	}
}

func TestKeyListIsWrong(t *testing.T) {
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string]string{
		"empty":    "",
		"HTML":     "<html>",
		"no keys":  `{"public_keys":[]}`,
		"no PEM":   `{"public_keys":[{"key_identifier":"k","key":"MFkw"}]}`,
		"no DER":   `{"public_keys":[{"key_identifier":"k","key":"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"}]}`,
		"P-384":    string(keyList("k", &p384.PublicKey)),
		"RSA":      string(keyList("k", &rsaKey.PublicKey)),
		"no ID":    string(keyList("", &newSigner().private.PublicKey)),
		"too long": `{"public_keys":[],"x":"` + strings.Repeat("x", 1<<20) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }))
			t.Cleanup(server.Close)
			key, err := leak.GitHubKeys(&leak.KeysConfig{URL: server.URL})(t.Context(), "k")
			if key != nil || err == nil || errors.Is(err, leak.ErrUnknownKey) || !strings.HasPrefix(err.Error(), "apikey: ") {
				t.Errorf("%v, %v", key, err)
			}
		})
	}
}

func TestKeysFollowNoRedirect(t *testing.T) {
	g := newGitHub()
	t.Cleanup(g.Close)
	server := httptest.NewServer(http.RedirectHandler(g.URL, http.StatusFound))
	t.Cleanup(server.Close)
	if _, err := leak.GitHubKeys(&leak.KeysConfig{URL: server.URL})(t.Context(), g.keyID); err == nil || g.fetches.Load() != 0 {
		t.Errorf("%v, %d fetches", err, g.fetches.Load())
	}
}

// hanging never answers.
type hanging struct{}

func (hanging) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// An endpoint that hangs is given up after 10 s, and not before, though who
// asked first goes away: else strangers could use up the minute in which it is
// not asked again. Who waits with them may go.
func TestKeysHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := leak.GitHubKeys(&leak.KeysConfig{Client: &http.Client{Transport: hanging{}}})
		start := time.Now()
		var wg sync.WaitGroup
		for i, tt := range []struct{ timeout, took time.Duration }{
			{time.Second, 10 * time.Second},
			{time.Second, time.Second},
			{time.Hour, 10 * time.Second},
		} {
			wg.Go(func() {
				<-time.After(time.Duration(i) * time.Millisecond) // one after the other
				ctx, cancel := context.WithTimeout(t.Context(), tt.timeout)
				defer cancel()
				_, err := keys(ctx, "k")
				if took := time.Since(start).Round(time.Second); took != tt.took || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%d took %v: %v", i, took, err)
				}
			})
		}
		wg.Wait()
	})
}

package demotest

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// Flood is what came of as many requests as there could be.
type Flood struct {
	Statuses map[int]int
	Least    time.Duration // from the end of the first request to the begin of the last
	Most     time.Duration // from the begin of the first to the end of the last
}

// Flood sends requests for a while from 16 clients, that each wait for an
// answer and no longer. They take the tokens in turns.
func (d *Demo) Flood(t testing.TB, tokens []string, method, path string, lasting time.Duration) Flood {
	t.Helper()
	return d.flood(t, tokens, method, path, func(_ int, since time.Duration) bool { return since < lasting }, 16)
}

// Volley sends n requests, all at once.
func (d *Demo) Volley(t testing.TB, tokens []string, method, path string, n int) Flood {
	t.Helper()
	return d.flood(t, tokens, method, path, func(i int, _ time.Duration) bool { return i < n }, n)
}

func (d *Demo) flood(t testing.TB, tokens []string, method, path string, more func(i int, since time.Duration) bool, clients int) Flood {
	t.Helper()
	f := Flood{Statuses: map[int]int{}}
	var mu sync.Mutex
	var firstEnd, lastBegin time.Duration
	sent := 0
	start := time.Now()
	next := func() (string, bool) {
		mu.Lock()
		defer mu.Unlock()
		since := time.Since(start)
		if !more(sent, since) {
			return "", false
		}
		lastBegin = since
		sent++
		return tokens[sent%len(tokens)], true
	}
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for token, ok := next(); ok; token, ok = next() {
				status, err := d.status(t, token, method, path)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				f.Statuses[status]++
				if firstEnd == 0 {
					firstEnd = time.Since(start)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	f.Least, f.Most = lastBegin-firstEnd, time.Since(start)
	return f
}

func (d *Demo) status(t testing.TB, token, method, path string) (int, error) {
	r, err := http.NewRequestWithContext(t.Context(), method, d.Base+path, strings.NewReader("{}"))
	if err != nil {
		return 0, err
	}
	d.Send(r, token)
	resp, err := client.Do(r)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// Within fails the test unless what was admitted is what a limit of n a minute
// lets through: its burst and its rate for as long as it lasted.
func (f Flood) Within(t testing.TB, n, admitted int) {
	t.Helper()
	rate := float64(n) / 60
	least, most := int(float64(n)+rate*f.Least.Seconds()), int(float64(n)+rate*f.Most.Seconds())
	t.Logf("%d a minute: %d admitted in %v, %d to %d expected, of %v", n, admitted, f.Most.Round(time.Millisecond), least, most, f.Statuses)
	if admitted > most {
		t.Errorf("%d were admitted, which is more than %d", admitted, most)
	}
	if float64(admitted) < 0.97*float64(least) {
		t.Errorf("%d were admitted, which is less than 97%% of %d", admitted, least)
	}
	for status := range f.Statuses {
		if status/100 != 2 && status != http.StatusTooManyRequests {
			t.Errorf("there are answers of another kind: %v", f.Statuses)
		}
	}
}

// Exhaust calls until the limit says no, and returns that answer.
func (d *Demo) Exhaust(t testing.TB, token, method, path string) *Answer {
	t.Helper()
	for range 10_000 {
		if a := d.Call(t, token, method, path, nil); a.Status != http.StatusOK {
			return a.Want(http.StatusTooManyRequests)
		}
	}
	t.Fatal("the limit never says no")
	return nil
}

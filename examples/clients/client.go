// Command clients calls an API n times with the key in $TOKEN, and waits
// whenever it is told to.
//
//	TOKEN=… go run ./examples/clients [-n 100] [-header X-Api-Key] URL
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"time"
)

func main() {
	n := flag.Int("n", 100, "how often")
	header := flag.String("header", "Authorization", "of the token; any other than Authorization: without Bearer")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := call(ctx, flag.Arg(0), *header, os.Getenv("TOKEN"), *n)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// call calls an address n times, one after the other.
func call(ctx context.Context, url, header, token string, n int) error {
	if header == "Authorization" {
		token = "Bearer " + token
	}
	client := &http.Client{Timeout: 30 * time.Second}
	start := time.Now()
	for range n {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		r.Header.Set(header, token)
		resp, err := send(client, r)
		if err != nil {
			return err
		}
		body, err := io.ReadAll(resp.Body)
		if err = errors.Join(err, resp.Body.Close()); err != nil {
			return err
		}
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s", resp.Status, body)
		}
	}
	fmt.Printf("served %d times in %.0f s\n", n, time.Since(start).Seconds())
	return nil
}

// send sends a request, and again for as long as the answer is 429, after the
// seconds of Retry-After. How long in all is for the request's context to say.
func send(client *http.Client, r *http.Request) (*http.Response, error) {
	for {
		resp, err := client.Do(r)
		if err != nil || resp.StatusCode != http.StatusTooManyRequests {
			return resp, err
		}
		_, _ = io.Copy(io.Discard, resp.Body) // so that the connection serves again
		_ = resp.Body.Close()
		seconds, err := strconv.Atoi(resp.Header.Get("Retry-After"))
		if err != nil {
			seconds = 10 // a date, or what stands between did away with it
		}
		jitter := rand.N(250 * time.Millisecond) // not all clients at the same time
		select {
		case <-time.After(time.Duration(seconds)*time.Second + jitter):
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
		if r.GetBody != nil { // the one before was read
			if r.Body, err = r.GetBody(); err != nil {
				return nil, err
			}
		}
	}
}

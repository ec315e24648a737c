package bench

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
)

// The benchmarks here are one row each, for who wants to repeat it or profile
// it: requests that are accepted, in random order of keys. The report measures
// all rows by turns, which is what to compare by.
//
//	go test -run '^$' -bench 'Auth/gin.*/keys=1$' -benchmem ./bench
//
// A million keys are measured under APIKEY_LONG=1 only.

func BenchmarkAuth(b *testing.B) { benchmark(b, Auth()) }

func BenchmarkLimits(b *testing.B) { benchmark(b, Limits()) }

func BenchmarkDatabases(b *testing.B) { benchmark(b, Databases()) }

func benchmark(b *testing.B, subjects []Subject) {
	sizes := []int{1, 1000, 100_000}
	if os.Getenv("APIKEY_LONG") != "" {
		sizes = append(sizes, 1_000_000)
	}
	for _, s := range subjects {
		b.Run(strings.ReplaceAll(s.Name, "/", "-"), func(b *testing.B) { // a slash would part the name
			for _, n := range sizes {
				b.Run(fmt.Sprintf("keys=%d", n), func(b *testing.B) { benchmarkSubject(b, &s, n) })
			}
		})
	}
}

func benchmarkSubject(b *testing.B, s *Subject, keys int) {
	running, err := s.Start(NewWorkload(keys))
	if errors.Is(err, ErrAbsent) {
		b.Skip(err)
	}
	if err != nil {
		b.Fatal(err)
	}
	defer running.Close()
	requests, send := running.Requests(Accepted), running.Client(Accepted)
	at := 0
	for b.Loop() {
		if status := send(requests[at]); status != http.StatusNoContent {
			b.Fatalf("request %d was answered %d", at, status)
		}
		if at++; at == len(requests) {
			at = 0
		}
	}
}

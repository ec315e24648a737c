package bench

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/memstore"
)

var update = flag.Bool("update", false, "rewrite testdata/allocations.txt")

const allocationsFile = "testdata/allocations.txt"

const allocationsHead = `# What the hot paths allocate for one request, by TestAllocations: go test -run TestAllocations ./bench
# That a change allocates less, or has to allocate more, is written down by -update.
#
# allocations, bytes, which
`

// TestAllocations holds the hot paths to what they allocated when it was last
// written down: unlike time that is the same on every machine. Fewer fail too,
// so that what was gained stays.
func TestAllocations(t *testing.T) {
	if raced {
		t.Skip("the race detector allocates by itself")
	}
	var got strings.Builder
	got.WriteString(allocationsHead)
	fmt.Fprintf(&got, "# %s, %s\n", goMinor(), runtime.GOARCH)
	for _, path := range hotPaths(t) {
		allocs, bytes := allocated(path.call)
		fmt.Fprintf(&got, "%d %4d  %s\n", allocs, bytes, path.name)
	}
	if *update {
		if err := os.WriteFile(allocationsFile, []byte(got.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	data, err := os.ReadFile(allocationsFile)
	if err != nil {
		t.Fatal(err)
	}
	compareAllocations(t, string(data), got.String())
}

// compareAllocations compares what was written down with what was measured.
func compareAllocations(t testing.TB, want, got string) {
	t.Helper()
	if by := fmt.Sprintf("# %s, %s\n", goMinor(), runtime.GOARCH); !strings.Contains(want, by) {
		t.Skipf("%s was written by another Go or for another processor than %s", allocationsFile, by[2:])
	}
	wants, gots := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(wants), len(gots)) {
		line := func(lines []string) string {
			if i < len(lines) {
				return lines[i]
			}
			return "nothing"
		}
		if w, g := line(wants), line(gots); w != g {
			t.Errorf("allocations, bytes, which: %q, want %q. If that is meant: go test -run TestAllocations -update .", g, w)
		}
	}
}

// goMinor is "go1.26" of go1.26.8: within it the compiler decides alike.
func goMinor() string {
	parts := strings.SplitN(runtime.Version(), ".", 3)
	return strings.Join(parts[:min(len(parts), 2)], ".")
}

// hotPath is something that a request pays for.
type hotPath struct {
	name string
	call func()
}

// allocated is what one call allocates: the least of several hundreds at a
// time, since the runtime allocates a little by itself now and then.
func allocated(call func()) (allocs, bytes uint64) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const n = 500
	for round := range 5 {
		var before, after runtime.MemStats
		call() // what is made once
		runtime.ReadMemStats(&before)
		for range n {
			call()
		}
		runtime.ReadMemStats(&after)
		a, b := (after.Mallocs-before.Mallocs)/n, (after.TotalAlloc-before.TotalAlloc)/n
		if round == 0 {
			allocs, bytes = a, b
		}
		allocs, bytes = min(allocs, a), min(bytes, b)
	}
	return allocs, bytes
}

// hotPaths are the paths that are held. The clock stands still, so that figures
// in headers always have as many digits.
func hotPaths(t *testing.T) []hotPath {
	w := NewWorkload(1)
	now := time.Now()
	wide, spent := []apikey.Limit{wideLimit()}, []apikey.Limit{spentLimit()}
	plain := guarded(t, w, now, nil)
	limited := guarded(t, w, now, wide)
	over := guarded(t, w, now, spent)
	token := w.Tokens[0]
	wrongChecksum := w.wrongChecksums()[0]
	unknown, wrongSecret := w.Bad(Unknown)[0], w.Bad(WrongSecret)[0]

	var paths []hotPath
	verify := func(name string, m *apikey.Manager, token string, admitted bool) {
		ctx := context.Background()
		paths = append(paths, hotPath{"Verify, " + name, func() {
			if _, _, err := m.Verify(ctx, apikey.Request{Token: token}); (err == nil) != admitted {
				t.Fatalf("%s: %v", name, err)
			}
		}})
	}
	guard := func(name string, m *apikey.Manager, token string, status int, needs ...apikey.Permission) {
		send := sendTo(m.Require(needs...)(protected), authorization)()
		credential := "Bearer " + token
		paths = append(paths, hotPath{"Guard, " + name, func() {
			if got := send(credential); got != status {
				t.Fatalf("%s: %d", name, got)
			}
		}})
	}
	verify("no plan", plain, token, true)
	verify("plan and two limits", limited, token, true)
	guard("authentication only", plain, token, http.StatusNoContent)
	guard("all of it", limited, token, http.StatusNoContent, permission)
	spend := sendTo(over.Require()(protected), authorization)()
	spend("Bearer " + token)
	for _, refused := range []struct {
		name, token string
		m           *apikey.Manager
		status      int
	}{
		{"wrong checksum", wrongChecksum, limited, http.StatusUnauthorized},
		{"unknown", unknown, limited, http.StatusUnauthorized},
		{"wrong secret", wrongSecret, limited, http.StatusUnauthorized},
		{"limited", token, over, http.StatusTooManyRequests},
	} {
		verify(refused.name, refused.m, refused.token, false)
		guard(refused.name, refused.m, refused.token, refused.status)
	}
	return append(paths, takePaths(t, now)...)
}

// takePaths are those of the pieces that hosts use by themselves.
func takePaths(t *testing.T, now time.Time) []hotPath {
	ctx := context.Background()
	buckets := apikey.NewTokenBuckets()
	two := []apikey.Bucket{{Scope: apikey.ScopeKey, ID: "key", Limit: wideLimit()}, {Scope: apikey.ScopeOwner, ID: "owner", Limit: wideLimit()}}
	take := func(n int) func() {
		return func() {
			if d, err := buckets.Take(ctx, now, 1, two[:n]); err != nil || !d.Allowed {
				t.Fatal(d, err)
			}
		}
	}
	store, w := memstore.New(), NewWorkload(1)
	if err := storeKeys(ctx, w, store); err != nil {
		t.Fatal(err)
	}
	return []hotPath{
		{"TokenBuckets.Take, one bucket", take(1)},
		{"TokenBuckets.Take, two buckets", take(2)},
		{"memstore, Get", func() {
			if _, err := store.Get(ctx, w.ID(0)); err != nil {
				t.Fatal(err)
			}
		}},
	}
}

// guarded is a Manager with the keys of w, whose clock stands still.
func guarded(t *testing.T, w *Workload, now time.Time, limits []apikey.Limit) *apikey.Manager {
	store := memstore.New()
	if err := storeKeys(t.Context(), w, store); err != nil {
		t.Fatal(err)
	}
	cfg := &apikey.Config{Formats: []apikey.Format{{Prefix: prefix}}, FlushInterval: time.Hour, Now: func() time.Time { return now }}
	if limits != nil {
		cfg.Plan = func(context.Context, string) (apikey.Plan, error) {
			return apikey.Plan{Name: "pro", MaxKeys: apikey.NoCap, KeyLimits: limits, OwnerLimits: limits}, nil
		}
	}
	m, err := apikey.New(store, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeManager(m) })
	return m
}

// TestCompareAllocations: the guard does hold.
func TestCompareAllocations(t *testing.T) {
	head := allocationsHead + fmt.Sprintf("# %s, %s\n", goMinor(), runtime.GOARCH)
	for _, c := range []struct {
		name, want, got string
		fails           bool
	}{
		{"alike", "2 432  Guard\n", "2 432  Guard\n", false},
		{"one more", "2 432  Guard\n", "3 448  Guard\n", true},
		{"one less", "2 432  Guard\n", "1 432  Guard\n", true},
		{"larger", "2 432  Guard\n", "2 448  Guard\n", true},
		{"a new path", "2 432  Guard\n", "2 432  Guard\n0 0  Verify\n", true},
		{"a path gone", "2 432  Guard\n0 0  Verify\n", "2 432  Guard\n", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var r recorded
			compareAllocations(&r, head+c.want, head+c.got)
			if r.failed != c.fails {
				t.Errorf("failed: %t, want %t", r.failed, c.fails)
			}
		})
	}
}

// TestAllocatedCounts: what is added is seen.
func TestAllocatedCounts(t *testing.T) {
	if raced {
		t.Skip("the race detector allocates by itself")
	}
	var sink []byte
	for _, size := range []int{0, 64, 1024} {
		allocs, bytes := allocated(func() {
			if size > 0 {
				sink = make([]byte, size)
			}
		})
		if want := uint64(min(size, 1)); allocs != want || bytes != uint64(size) {
			t.Errorf("of %d bytes: %d allocations, %d bytes; want %d and %d", size, allocs, bytes, want, size)
		}
	}
	runtime.KeepAlive(sink)
}

// recorded is a testing.TB that notes whether it failed.
type recorded struct {
	testing.TB
	failed bool
}

func (r *recorded) Helper()               {}
func (r *recorded) Errorf(string, ...any) { r.failed = true }

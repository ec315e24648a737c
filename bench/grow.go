package bench

import (
	"context"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/memstore"
)

// Curve is how cost grows with a size, and the line that it should follow,
// which was written down before anything was measured.
type Curve struct {
	Set
	Says string // the line in words

	// Line is where the line is at a size, in nanoseconds. of is what was
	// measured of a row, NaN if it was not.
	Line func(size int, of func(Row) float64) float64
	Load Load // whose time the line is of

	// Bytes is how many bytes of memory one more of what the size counts may
	// take, at rest. 0: it is not asked.
	Bytes float64
}

// Slack is how far above its line a time may lie: what lies below it follows
// the line.
const Slack = 1.25

// Growth are the curves of Manager.Verify on a memstore. Those of a short run
// end early.
func Growth(short bool) []Curve {
	return []Curve{growKeys(short), growOwners(short), growPermissions(), growLimits()}
}

var (
	hot     = Load{Accepted, Hot, 1}
	uniform = Load{Accepted, Uniform, 1}
)

func growKeys(short bool) Curve {
	sizes := []int{1, 10, 100, 1000, 10_000, 100_000, 1_000_000, 10_000_000}
	if short {
		sizes = sizes[:5]
	}
	return Curve{
		Set: Set{
			Name: "grow-keys", Title: "Keys", Axis: "keys", Together: true,
			About:    "Ten keys to an owner, no plan. Beside it one read of memory that depends on the read before, somewhere in 192 bytes a key. At most 1,000,000 of the keys are used.",
			Sizes:    sizes,
			Subjects: func(int) []Subject { return []Subject{verifyOfKeys(), oneRead()} },
			Loads: func(int) []Load {
				return []Load{uniform, hot, {WrongSecret, Uniform, 1}, {Unknown, Uniform, 1}, {Malformed, Uniform, 1}}
			},
			Base:    besideOne,
			Omitted: []Omission{{regexp.MustCompile("/hot/accepted/one-read$"), "a read of memory does not depend on the order of keys"}},
		},
		Load: uniform,
		Says: "what one key takes, and five reads of memory: the table, its slot, the record, its digest, its use.",
		Line: func(size int, of func(Row) float64) float64 {
			read := func(size int) float64 { return of(Row{"grow-keys", size, uniform, oneRead().Name}) }
			return of(Row{"grow-keys", 1, uniform, verifies}) + 5*(read(size)-read(1))
		},
		Bytes: 256,
	}
}

func growOwners(short bool) Curve {
	sizes := []int{1, 100, 10_000, 100_000, 1_000_000}
	if short {
		sizes = sizes[:3]
	}
	keys := sizes[len(sizes)-1]
	return Curve{
		Set: Set{
			Name: "grow-owners", Title: "Owners", Axis: "owners", Together: true,
			About:    "The same number of keys, as many as the most owners, of more and more owners, with a plan and two limits, one of the key and one of the owner.",
			Sizes:    sizes,
			Keys:     func(int) int { return keys },
			Subjects: func(size int) []Subject { return []Subject{verifyOfOwners(size)} },
			Loads:    func(int) []Load { return []Load{uniform} },
			Base:     besideOne,
		},
		Load: uniform,
		Says: "flat while owners stay in the cache, and then two reads of memory more, of the plan's answer and the owner's bucket, 100 ns each.",
		Line: func(size int, of func(Row) float64) float64 {
			one := of(Row{"grow-owners", 1, uniform, verifies})
			if size <= 10_000 {
				return one
			}
			return one + 200
		},
	}
}

func growPermissions() Curve {
	return Curve{
		Set: Set{
			Name: "grow-permissions", Title: "Permissions of a key", Axis: "permissions", Together: true,
			About:    "One key; the request needs the last of its permissions in their order, or one that it does not have.",
			Sizes:    []int{1, 3, 10, 30, 100, 300, 1000},
			Keys:     func(int) int { return 1 },
			Subjects: func(size int) []Subject { return []Subject{verifyOfPermissions(size)} },
			Loads:    func(int) []Load { return []Load{hot, {NoPermission, Hot, 1}} },
			Base:     besideOne,
		},
		Load: hot,
		Says: "logarithmic, 20 ns for each doubling.",
		Line: func(size int, of func(Row) float64) float64 {
			return of(Row{"grow-permissions", 1, hot, verifies}) + 20*math.Log2(float64(size))
		},
	}
}

func growLimits() Curve {
	return Curve{
		Set: Set{
			Name: "grow-limits", Title: "Limits", Axis: "limits", Together: true,
			About:    "One key; half of the limits are its own, half its owner's.",
			Sizes:    []int{1, 2, 4, 8, 9, 12, 16, 20},
			Keys:     func(int) int { return 1 },
			Subjects: func(size int) []Subject { return []Subject{verifyOfLimits(size)} },
			Loads:    func(int) []Load { return []Load{hot, {Limited, Hot, 1}} },
			Base:     besideOne,
		},
		Load: hot,
		Says: "linear, 50 ns for each further limit.",
		Line: func(size int, of func(Row) float64) float64 {
			return of(Row{"grow-limits", 1, hot, verifies}) + 50*float64(size-1)
		},
	}
}

// besideOne sets every row beside the one of the smallest size with the same
// load.
func besideOne(r Row) Row {
	r.Size = 1
	return r
}

// verifies is the name of the subject of every curve.
const verifies = "Verify"

// The cases that only Manager.Verify is asked about.
const (
	WrongChecksum Case = "wrong checksum" // of the right shape
	Revoked       Case = "revoked"        // with a good secret, as those below
	Disabled      Case = "disabled"
	Expired       Case = "expired"
	NoPermission  Case = "no permission"
)

// Refused is the set that has refusals beside what succeeds.
func Refused(short bool) Set {
	sizes := []int{10, 1_000_000}
	if short {
		sizes = []int{10, 10_000}
	}
	return Set{
		Name: "refused", Title: "A verification that fails", Axis: "keys",
		About: "Manager.Verify, without what an answer costs. Of all keys each case has one in ten, so that all wait for memory alike.",
		Sizes: sizes,
		Subjects: func(int) []Subject {
			return []Subject{verifyRefused("Verify, no plan", false), verifyRefused("Verify, two limits", true)}
		},
		Loads: func(int) []Load {
			var loads []Load
			for _, c := range []Case{Accepted, Malformed, WrongChecksum, Unknown, WrongSecret, Revoked, Disabled, Expired, NoPermission, Limited} {
				loads = append(loads, Load{c, Uniform, 1})
			}
			return loads
		},
		Base: func(r Row) Row {
			r.Load.Case = Accepted
			return r
		},
	}
}

// verified is a Manager on a memstore, as a subject.
type verified struct {
	m        *apikey.Manager
	store    *memstore.Store
	requests map[Case]func() []string
	needs    map[Case][]apikey.Permission
}

// startVerified makes one with a plan of these limits, nil: without a plan.
func startVerified(keyLimits, ownerLimits []apikey.Limit) (*verified, error) {
	cfg := &apikey.Config{Formats: []apikey.Format{{Prefix: prefix}}, FlushInterval: time.Hour, PlanTTL: time.Hour}
	if keyLimits != nil || ownerLimits != nil {
		plan := apikey.Plan{Name: "pro", MaxKeys: apikey.NoCap, KeyLimits: keyLimits, OwnerLimits: ownerLimits}
		cfg.Plan = func(context.Context, string) (apikey.Plan, error) { return plan, nil }
	}
	store := memstore.NewWith(memstore.Config{MaxHistory: -1})
	m, err := apikey.New(store, cfg)
	if err != nil {
		return nil, err
	}
	return &verified{m, store, make(map[Case]func() []string), make(map[Case][]apikey.Permission)}, nil
}

// made is when keys are made, in the past, so that they may have expired.
var made = time.Date(2026, 3, 4, 5, 0, 0, 0, time.UTC)

// add stores key i of w as the n-th, which special makes what it is to be.
func (v *verified) add(w *Workload, i, n int, owner string, special func(k *apikey.Key)) error {
	at := made.Add(time.Duration(n) * time.Microsecond)
	k := &apikey.Key{
		ID: w.ID(i), Owner: owner, Name: "Production", Permissions: permissions(), CreatedAt: at, CreatedBy: "bench",
		Secrets: []apikey.Secret{{N: 1, Prefix: prefix, CreatedAt: at}}, Version: 1,
	}
	special(k)
	rec, err := apikey.NewRecord(k, apikey.SumToken(w.Tokens[i]))
	if err != nil {
		return err
	}
	change := apikey.Change{At: at, Actor: "bench", Action: "create", KeyID: k.ID, Owner: owner}
	return v.store.Create(context.Background(), rec, apikey.Write{Change: change, MaxKeys: apikey.NoCap})
}

// addAll stores the keys of w, the k-th of them for the owner of that number.
func (v *verified) addAll(w *Workload, owner func(k int) int, special func(i int, key *apikey.Key)) error {
	for k, i := range w.Order() {
		if err := v.add(w, i, k, ownerName(owner(k)), func(key *apikey.Key) { special(i, key) }); err != nil {
			return err
		}
	}
	return nil
}

// ownerName is that of an owner. Keys are stored in the order of their owners
// and of time, in which a store has their places in the cache, so that
// 10,000,000 are there soon. They are used in quite another order.
func ownerName(n int) string { return fmt.Sprintf("acct_%08d", n) }

// Ten keys to an owner, all alike.
func byTen(k int) int { return k / 10 }

func alike(int, *apikey.Key) {}

// running is v, ready.
func (v *verified) running() *Running {
	return &Running{
		Requests: func(c Case) []string {
			if requests := v.requests[c]; requests != nil {
				return requests()
			}
			return nil
		},
		Client: func(c Case) func(string) int {
			ctx, needs := context.Background(), v.needs[c]
			return func(token string) int {
				if _, _, err := v.m.Verify(ctx, apikey.Request{Token: token, All: needs}); err != nil {
					return 401 // whichever it is
				}
				return 204
			}
		},
		Close: func() { _ = v.m.Close(context.Background()) },
	}
}

// mostRequests is how many different tokens are sent at most. What they need is
// far more than a cache holds.
const mostRequests = 1_000_000

// sent is w cut to that many, in order of use. Keys are stored in another one.
func sent(w *Workload) *Workload {
	n := min(len(w.Tokens), mostRequests)
	tokens := make([]int, n)
	for i := range tokens {
		tokens[i] = i
	}
	return &Workload{Keys: n, Tokens: InOrder(w.Tokens, tokens)}
}

func verifyOfKeys() Subject {
	return Subject{Name: verifies, Module: "github.com/go-apikey/apikey", Start: func(w *Workload) (*Running, error) {
		v, err := startVerified(nil, nil)
		if err != nil {
			return nil, err
		}
		if err := v.addAll(w, byTen, alike); err != nil {
			return nil, err
		}
		v.requests[Accepted] = func() []string { return sent(w).Tokens }
		for _, c := range []Case{WrongSecret, Unknown, Malformed} {
			v.requests[c] = func() []string { return sent(w).Bad(c) }
		}
		return v.running(), nil
	}}
}

// limits are n of them that nobody reaches.
func limits(n int) []apikey.Limit {
	var all []apikey.Limit
	for i := range n {
		all = append(all, apikey.Limit{Name: "limit-" + strconv.Itoa(i), N: 600_000_000, Per: time.Minute})
	}
	return all
}

func verifyOfOwners(owners int) Subject {
	return Subject{Name: verifies, Module: "github.com/go-apikey/apikey", Start: func(w *Workload) (*Running, error) {
		v, err := startVerified(limits(1), limits(1))
		if err != nil {
			return nil, err
		}
		if err := v.addAll(w, func(k int) int { return k * owners / w.Keys }, alike); err != nil {
			return nil, err
		}
		v.requests[Accepted] = func() []string { return sent(w).Tokens }
		return v.running(), nil
	}}
}

func verifyOfPermissions(n int) Subject {
	return Subject{Name: verifies, Module: "github.com/go-apikey/apikey", Start: func(w *Workload) (*Running, error) {
		v, err := startVerified(nil, nil)
		if err != nil {
			return nil, err
		}
		held := make(apikey.Permissions, n)
		for i := range held {
			held[i] = apikey.Permission(fmt.Sprintf("resource-%04d:read", i))
		}
		if err := v.add(w, 0, 0, ownerName(0), func(k *apikey.Key) { k.Permissions = held }); err != nil {
			return nil, err
		}
		all := func() []string { return w.Tokens }
		v.requests[Accepted], v.requests[NoPermission] = all, all
		v.needs[Accepted], v.needs[NoPermission] = []apikey.Permission{held[n-1]}, []apikey.Permission{"resource-none:read"}
		return v.running(), nil
	}}
}

// once is a limit that is used up for a year by one request.
// It stands in the place of the first of limits.
var once = apikey.Limit{Name: "limit-0", N: 1, Per: 365 * 24 * time.Hour}

func verifyOfLimits(n int) Subject {
	return Subject{Name: verifies, Module: "github.com/go-apikey/apikey", Start: func(w *Workload) (*Running, error) {
		v, err := startVerified(limits((n+1)/2), limits(n/2))
		if err != nil {
			return nil, err
		}
		other := NewWorkload(2)
		limited := other.Tokens[1]
		if err := v.add(w, 0, 0, ownerName(0), func(*apikey.Key) {}); err != nil {
			return nil, err
		}
		if err := v.add(other, 1, 1, ownerName(1), onlyOnce); err != nil {
			return nil, err
		}
		v.requests[Accepted] = func() []string { return w.Tokens }
		v.requests[Limited] = func() []string { return []string{limited} }
		return v.running(), v.spend([]string{limited})
	}}
}

func onlyOnce(k *apikey.Key) { k.Limits = []apikey.LimitOverride{{Limit: once}} }

// spend uses tokens once.
func (v *verified) spend(tokens []string) error {
	for _, token := range tokens {
		if _, _, err := v.m.Verify(context.Background(), apikey.Request{Token: token}); err != nil {
			return err
		}
	}
	return nil
}

// verifyRefused is a Manager whose keys are, one in ten each, of every kind that
// is refused.
func verifyRefused(name string, limited bool) Subject {
	return Subject{Name: name, Module: "github.com/go-apikey/apikey", Start: func(w *Workload) (*Running, error) {
		var both []apikey.Limit
		if limited {
			both = limits(1)
		}
		v, err := startVerified(both, both)
		if err != nil {
			return nil, err
		}
		kinds := []struct {
			c       Case
			special func(k *apikey.Key)
		}{
			{Accepted, func(*apikey.Key) {}},
			{WrongSecret, func(*apikey.Key) {}},
			{NoPermission, func(*apikey.Key) {}},
			{Revoked, func(k *apikey.Key) { k.RevokedAt = made.Add(time.Hour) }},
			{Disabled, func(k *apikey.Key) { k.DisabledAt = made.Add(time.Hour) }},
			{Expired, func(k *apikey.Key) { k.ExpiresAt = made.Add(time.Hour) }},
			{Limited, onlyOnce},
		}
		tenth := w.Keys / 10
		part := func(kind int) *Workload { return &Workload{Keys: tenth, Tokens: w.Tokens[kind*tenth : (kind+1)*tenth]} }
		err = v.addAll(w, byTen, func(i int, key *apikey.Key) {
			if kind := i / tenth; kind < len(kinds) && (limited || kinds[kind].c != Limited) {
				kinds[kind].special(key)
			}
		})
		if err != nil {
			return nil, err
		}
		for kind, k := range kinds {
			if k.c != Limited || limited {
				v.requests[k.c] = func() []string { return part(kind).Tokens }
			}
		}
		v.requests[WrongSecret] = func() []string { return part(1).Bad(WrongSecret) }
		v.requests[Unknown] = func() []string { return part(1).Bad(Unknown) }
		v.requests[Malformed] = func() []string { return part(0).Bad(Malformed) }
		v.requests[WrongChecksum] = func() []string { return part(0).wrongChecksums() }
		v.needs[NoPermission] = []apikey.Permission{"members:remove"}
		if limited {
			return v.running(), v.spend(part(len(kinds) - 1).Tokens)
		}
		return v.running(), nil
	}}
}

// wrongChecksums are tokens whose last character is another one.
func (w *Workload) wrongChecksums() []string {
	return inOneBuffer(w.Keys, func(b []byte, i int) []byte {
		b = append(b, w.Tokens[i]...)
		if last := &b[len(b)-1]; *last == '0' {
			*last = '1'
		} else {
			*last = '0'
		}
		return b
	})
}

// oneRead is what a request waits for at least when its key is not in the
// cache: one read of memory that depends on the one before.
func oneRead() Subject {
	return Subject{Name: "one read", Start: func(w *Workload) (*Running, error) {
		type record struct {
			next uint32
			_    [188]byte // as large as a record
		}
		records, order := make([]record, w.Keys), w.Order()
		for i, at := range order {
			records[at].next = uint32(order[(i+1)%len(order)])
		}
		return &Running{
			Requests: func(c Case) []string {
				if c == Accepted {
					return []string{""}
				}
				return nil
			},
			Client: func(Case) func(string) int {
				at := uint32(0)
				return func(string) int {
					at = records[at].next
					return 204
				}
			},
			Close: func() {},
		}, nil
	}}
}

package bench

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/memstore"
)

// Auth are the ways to guard a handler by a key: authenticate, one permission
// where the subject has them, count. The handler asks whose key it is.
func Auth() []Subject {
	return slices.Concat(ownGuards(), handGuards(), frameworkGuards(), tokenGuards())
}

// ownGuards are those of apikey.
func ownGuards() []Subject {
	return []Subject{
		{
			Name:   "apikey, authentication only",
			Module: ownModule,
			Leaves: "no plan, so no limits and no rate headers, and no permission asked; it counts, and " + seldom,
			Start:  startAuthOnly,
		},
		{
			Name:   "apikey, all of it",
			Module: ownModule,
			Leaves: seldom,
			Start:  startAll,
		},
	}
}

// seldom is what a benchmark of keys in use does not show.
const seldom = "usage is flushed and plans are asked for once an hour instead of every 5 and 10 s, so that every key is measured in use: one that is used at most once between two flushes takes about 3 µs more, each time (BenchmarkVerifySeldom)"

const ownModule = "github.com/go-apikey/apikey"

// permission is the one that a request needs, and permissions are what each key
// has.
const permission = "templates:read"

func permissions() apikey.Permissions { return apikey.Permissions{"documents:generate", "templates:*"} }

// Two limits: one that no run reaches, and one that is spent by the first
// request.
func wideLimit() apikey.Limit { return apikey.Limit{Name: "minute", N: 600_000_000, Per: time.Minute} }

func spentLimit() apikey.Limit { return apikey.Limit{Name: "spent", N: 1, Per: 1000 * time.Hour} }

func startAuthOnly(w *Workload) (*Running, error) {
	m, err := newManager(w, nil)
	if err != nil {
		return nil, err
	}
	clients := sendTo(m.Require()(protected), authorization)
	running := tokenSubject(w, "Bearer ", clients, nil)
	running.Close = func() { closeManager(m) }
	return running, warm(w, clients, "Bearer ")
}

func startAll(w *Workload) (*Running, error) {
	m, err := newManager(w, new(wideLimit()))
	if err != nil {
		return nil, err
	}
	clients := sendTo(m.Require(permission)(protected), authorization)
	var spent *apikey.Manager
	running := tokenSubject(w, "Bearer ", clients, func() (clientMaker, error) {
		if spent, err = newManager(w, new(spentLimit())); err != nil {
			return nil, err
		}
		return sendTo(spent.Require(permission)(protected), authorization), nil
	})
	running.Close = func() {
		closeManager(m)
		if spent != nil {
			closeManager(spent)
		}
	}
	return running, warm(w, clients, "Bearer ")
}

// newManager has the keys of w, each owner and each key under the limit; nil:
// no plan. It stores usage when it is closed and not before: the flushes of one
// subject must not disturb the rounds of another. Plans are asked for once: a
// subject is measured for some milliseconds of each minute, so with the default
// of 10 s most of its requests would find theirs outdated, as no server's do.
func newManager(w *Workload, limit *apikey.Limit) (*apikey.Manager, error) {
	store := memstore.New()
	if err := storeKeys(context.Background(), w, store); err != nil {
		return nil, err
	}
	cfg := &apikey.Config{Formats: []apikey.Format{{Prefix: prefix}}, FlushInterval: time.Hour, PlanTTL: time.Hour}
	if limit != nil {
		limits := []apikey.Limit{*limit}
		plan := apikey.Plan{Name: "pro", MaxKeys: apikey.NoCap, OwnerLimits: limits, KeyLimits: limits}
		cfg.Plan = func(context.Context, string) (apikey.Plan, error) { return plan, nil }
	}
	return apikey.New(store, cfg)
}

// closeManager gives up what is counted: the store goes with it.
func closeManager(m *apikey.Manager) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = m.Close(ctx)
}

// storeKeys writes the keys of w into an empty store.
func storeKeys(ctx context.Context, w *Workload, store apikey.Store) error {
	made := time.Date(2026, 3, 4, 5, 0, 0, 0, time.UTC)
	for _, i := range w.Order() {
		k := &apikey.Key{
			ID: w.ID(i), Owner: w.Owner(i), Name: "Key " + strconv.Itoa(i), Permissions: permissions(), CreatedAt: made,
			Secrets: []apikey.Secret{{N: 1, Prefix: prefix, CreatedAt: made}}, Version: 1,
		}
		rec, err := apikey.NewRecord(k, apikey.SumToken(w.Tokens[i]))
		if err != nil {
			return err
		}
		change := apikey.Change{At: made, Actor: "bench", Action: "create", KeyID: k.ID, Owner: k.Owner}
		if err := store.Create(ctx, rec, apikey.Write{Change: change, MaxKeys: -1}); err != nil {
			return err
		}
	}
	return nil
}

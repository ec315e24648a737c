package apikeytest

import (
	"context"
	"fmt"
	"time"

	"github.com/go-apikey/apikey"
)

var hourPromises = []promise{
	{
		name:  "Usage returns the hours in which anything happened, oldest first",
		needs: usageReader,
		fix:   "add up usage by (key, hour) over secrets, nodes and batches, and order by hour",
		check: checkHours,
	},
	{
		name:  "Usage goes from From up to, not including, To",
		needs: usageReader,
		fix:   "select hour >= From and hour < To; a zero From or To is no bound",
		check: checkHourBounds,
	},
	{
		name:  "Usage counts a repeated batch once",
		needs: usageReader,
		fix:   "add to the hours in the transaction that checks the Seq",
		check: checkHourReplay,
	},
	{
		name:  "Usage of an unknown key is none",
		needs: usageReader,
		fix:   "return no hours and no error for what no key has",
		check: checkHoursUnknown,
	},
}

// hours is Usage of the Store, which has it: the promise needs it.
func (e *storeEnv) hours(ctx context.Context, id string, q apikey.UsageQuery) ([]apikey.UsagePoint, error) {
	r, ok := e.Store.(apikey.UsageReader)
	if !ok {
		return nil, apikey.ErrUnsupported
	}
	points, err := r.Usage(ctx, id, q)
	if err != nil {
		return nil, fmt.Errorf("Usage(%.40q, %v to %v): %w", id, q.From, q.To, err)
	}
	return points, nil
}

// hoursAre reports what is wrong if q does not give exactly points.
func (e *storeEnv) hoursAre(ctx context.Context, id string, q apikey.UsageQuery, points []apikey.UsagePoint) error {
	got, err := e.hours(ctx, id, q)
	if err != nil {
		return err
	}
	if d := diff(points, got); d != "" {
		return fmt.Errorf("Usage(%.40q, %v to %v) (-want +got):\n%s", id, q.From, q.To, d)
	}
	return nil
}

// inHour is an entry of n requests in the n-th hour.
func inHour(id string, secret uint32, hour, n int) apikey.UsageEntry {
	u := used(id, n)
	u.Secret, u.Hour = secret, epoch.Add(time.Duration(hour)*time.Hour)
	u.LastUsed = u.Hour.Add(59*time.Minute + 59*time.Second)
	return u
}

// point is the hour in which n requests came.
func point(hour, n int) apikey.UsagePoint {
	return apikey.UsagePoint{Hour: epoch.Add(time.Duration(hour) * time.Hour), Requests: int64(n)}
}

func checkHours(ctx context.Context, e *storeEnv) error {
	keys := testKeys(2, "acct")
	a, b := keys[0].ID, keys[1].ID
	if err := e.add(ctx, keys...); err != nil {
		return err
	}
	refusals := apikey.UsageEntry{KeyID: a, Secret: 1, Hour: epoch.Add(5 * time.Hour), Limited: 3, Denied: 4}
	if err := e.addUsage(ctx,
		batch("one", 1, inHour(a, 1, 2, 5), inHour(a, 1, 30, 7), inHour(a, 2, 2, 11), inHour(b, 1, 2, 1000)),
		batch("one", 2, inHour(a, 1, 0, 1), inHour(a, 1, 2, 13), refusals),
		batch("two", 1, inHour(a, 1, 2, 17), inHour(a, 2, 29, 1)),
	); err != nil {
		return err
	}
	refused := point(5, 0)
	refused.Limited, refused.Denied = 3, 4
	if err := e.hoursAre(ctx, a, apikey.UsageQuery{}, []apikey.UsagePoint{point(0, 1), point(2, 5+11+13+17), refused, point(29, 1), point(30, 7)}); err != nil {
		return err
	}
	if err := e.change(ctx, b, func(*apikey.Key) {}); err != nil {
		return err
	}
	return e.hoursAre(ctx, b, apikey.UsageQuery{}, []apikey.UsagePoint{point(2, 1000)})
}

func checkHourBounds(ctx context.Context, e *storeEnv) error {
	const hours = 6
	k := testKey(1, "acct")
	if err := e.add(ctx, k); err != nil {
		return err
	}
	b := batch("node", 1)
	for h := range hours {
		b.Entries = append(b.Entries, inHour(k.ID, 1, h, h+1))
	}
	if err := e.addUsage(ctx, b); err != nil {
		return err
	}
	at := func(h int) time.Time { // -2: no bound
		if h == -2 {
			return time.Time{}
		}
		return epoch.Add(time.Duration(h) * time.Hour)
	}
	for from := -2; from <= hours+1; from++ {
		for to := -2; to <= hours+1; to++ {
			var points []apikey.UsagePoint
			for h := range hours {
				if (from == -2 || h >= from) && (to == -2 || h < to) {
					points = append(points, point(h, h+1))
				}
			}
			if err := e.hoursAre(ctx, k.ID, apikey.UsageQuery{From: at(from), To: at(to)}, points); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkHourReplay(ctx context.Context, e *storeEnv) error {
	keys := testKeys(2, "acct")
	a, b := keys[0].ID, keys[1].ID
	if err := e.add(ctx, keys...); err != nil {
		return err
	}
	first := batch("node", 1, inHour(a, 1, 0, 1), inHour(a, 1, 1, 2), inHour(a, 2, 1, 4))
	whole := batch("node", 1, append(append([]apikey.UsageEntry(nil), first.Entries...), inHour(b, 1, 0, 8))...)
	second := batch("node", 2, inHour(a, 1, 1, 16))
	if err := e.addUsage(ctx, first, whole, whole, second, whole, second); err != nil {
		return err
	}
	if err := e.hoursAre(ctx, a, apikey.UsageQuery{}, []apikey.UsagePoint{point(0, 1), point(1, 2+4+16)}); err != nil {
		return err
	}
	return e.hoursAre(ctx, b, apikey.UsageQuery{}, []apikey.UsagePoint{point(0, 8)})
}

func checkHoursUnknown(ctx context.Context, e *storeEnv) error {
	k := testKey(1, "acct")
	k.Alias = "~legacy:1"
	if err := e.add(ctx, k); err != nil {
		return err
	}
	if err := e.addUsage(ctx, batch("node", 1, inHour(k.ID, 1, 0, 1), used("zunknown", 1))); err != nil {
		return err
	}
	for _, id := range []string{"Key999999999", "zunknown", "", "x", "%", "'", "\x00", "\xff"} {
		if err := e.hoursAre(ctx, id, apikey.UsageQuery{}, nil); err != nil {
			return err
		}
	}
	return e.hoursAre(ctx, testKey(2, "").ID, apikey.UsageQuery{From: epoch, To: epoch.Add(time.Hour)}, nil)
}

package apikeytest

import (
	"context"
	"fmt"
	"strings"

	"github.com/go-apikey/apikey"
)

var seqPromises = []promise{
	{
		name:  "AddUsage adds a batch once however often it is repeated",
		fix:   "remember the last Seq applied for each (node, key) in the transaction that adds, and skip what is not above it",
		check: checkReplay,
	},
	{
		name:  "AddUsage goes on where a batch was partly applied",
		fix:   "remember the Seq by key, not for the batch as a whole",
		check: checkPartly,
	},
	{
		name:  "AddUsage skips a Seq that is not above the last one",
		fix:   "compare Seq <= last, not Seq == last; a gap in the numbers is no error",
		check: checkOutOfOrder,
	},
	{
		name:  "AddUsage tells nodes apart",
		fix:   "remember the Seq by (node, key), nodes compared byte by byte",
		check: checkNodes,
	},
	{
		name:  "AddUsage is exact under concurrency",
		fix:   "add in the database (requests = requests + ?), not by reading and writing back; take rows in the batch's order, so that two batches cannot deadlock",
		check: checkUsageAtOnce,
	},
}

// step is a batch, and the requests that each key has after it.
type step struct {
	batch apikey.UsageBatch
	after [3]int
}

// steps runs them over three keys, each of which uses n requests an entry.
func (e *storeEnv) steps(ctx context.Context, keys []*apikey.Key, steps []step) error {
	for i, s := range steps {
		if err := e.addUsage(ctx, s.batch); err != nil {
			return fmt.Errorf("batch %d: %w", i+1, err)
		}
		all, err := e.list(ctx, apikey.Query{Owner: "acct"})
		if err != nil {
			return err
		}
		var got [3]int
		for _, k := range all {
			for j := range keys {
				if keys[j].ID == k.ID {
					got[j] = int(k.Usage.Requests)
				}
			}
		}
		if got != s.after {
			return fmt.Errorf("after batch %d of the test (node %q, Seq %d, %d entries) the requests of its three keys are %v, want %v",
				i+1, s.batch.Node, s.batch.Seq, len(s.batch.Entries), got, s.after)
		}
	}
	return nil
}

// threeKeys adds the keys a, b and c, and gives an entry of one request of each.
func (e *storeEnv) threeKeys(ctx context.Context) (keys []*apikey.Key, a, b, c apikey.UsageEntry, err error) {
	keys = testKeys(3, "acct")
	return keys, used(keys[0].ID, 1), used(keys[1].ID, 1), used(keys[2].ID, 1), e.add(ctx, keys...)
}

func checkReplay(ctx context.Context, e *storeEnv) error {
	keys, a, b, c, err := e.threeKeys(ctx)
	if err != nil {
		return err
	}
	return e.steps(ctx, keys, []step{
		{batch("n", 1, a, b), [3]int{1, 1, 0}},
		{batch("n", 1, a, b), [3]int{1, 1, 0}},
		{batch("n", 1, a, b), [3]int{1, 1, 0}},
		{batch("n", 2, a, c), [3]int{2, 1, 1}},
		{batch("n", 2, a, c), [3]int{2, 1, 1}},
		{batch("n", 3, a, b, c), [3]int{3, 2, 2}},
		{batch("n", 3, a, b, c), [3]int{3, 2, 2}},
	})
}

func checkPartly(ctx context.Context, e *storeEnv) error {
	keys, a, b, c, err := e.threeKeys(ctx)
	if err != nil {
		return err
	}
	return e.steps(ctx, keys, []step{
		{batch("n", 1, a), [3]int{1, 0, 0}}, // as if the store had failed after the first entry
		{batch("n", 1, a, b), [3]int{1, 1, 0}},
		{batch("n", 1, a, b, c), [3]int{1, 1, 1}},
		{batch("n", 2, c), [3]int{1, 1, 2}},
		{batch("n", 2, a, b, c), [3]int{2, 2, 2}},
	})
}

func checkOutOfOrder(ctx context.Context, e *storeEnv) error {
	keys, a, b, c, err := e.threeKeys(ctx)
	if err != nil {
		return err
	}
	return e.steps(ctx, keys, []step{
		{batch("n", 1, a, b), [3]int{1, 1, 0}},
		{batch("n", 7, a), [3]int{2, 1, 0}},
		{batch("n", 3, a, b), [3]int{2, 2, 0}}, // late: a is at 7, b at 1
		{batch("n", 1, a, b, c), [3]int{2, 2, 1}},
		{batch("n", 7, a, b), [3]int{2, 3, 1}},
		{batch("n", 6, a, b, c), [3]int{2, 3, 2}},
		{batch("n", 1<<40, a, b), [3]int{3, 4, 2}},
		{batch("n", 8, a, b), [3]int{3, 4, 2}},
	})
}

func checkNodes(ctx context.Context, e *storeEnv) error {
	keys, a, b, c, err := e.threeKeys(ctx)
	if err != nil {
		return err
	}
	one := strings.Repeat("n", 21) + "a"
	two := strings.Repeat("n", 21) + "A"
	return e.steps(ctx, keys, []step{
		{batch(one, 5, a, b), [3]int{1, 1, 0}},
		{batch(two, 1, a, c), [3]int{2, 1, 1}},
		{batch(two, 5, a, b), [3]int{3, 2, 1}},
		{batch(one, 5, a, b), [3]int{3, 2, 1}},
		{batch(two, 5, a, b), [3]int{3, 2, 1}},
		{batch(one, 6, a, b, c), [3]int{4, 3, 2}},
	})
}

func checkUsageAtOnce(ctx context.Context, e *storeEnv) error {
	const nodes, batches = 8, 15
	keys := testKeys(5, "acct")
	for _, k := range keys {
		k.Metadata = map[string]string{"n": "0"}
	}
	if err := e.add(ctx, keys...); err != nil {
		return err
	}
	entries := make([]apikey.UsageEntry, len(keys))
	for i, k := range keys {
		entries[i] = used(k.ID, i+1)
		entries[i].Limited, entries[i].Denied = 1, 2
	}
	errs := together(nodes+1, func(i int) error {
		if i == nodes { // changes of the same keys meanwhile
			for n := range batches {
				if err := e.increment(ctx, keys[n%len(keys)].ID); err != nil {
					return err
				}
			}
			return nil
		}
		for seq := range int64(batches) {
			b := batch(fmt.Sprint("node", i), seq+1, entries...)
			if err := e.addUsage(ctx, b, b); err != nil {
				return err
			}
		}
		return nil
	})
	if err := first(errs); err != nil {
		return err
	}
	for i, k := range keys {
		sum := entries[i]
		sum.Requests, sum.Limited, sum.Denied = sum.Requests*nodes*batches, sum.Limited*nodes*batches, sum.Denied*nodes*batches
		if err := e.usageIs(ctx, k.ID, usageOf(sum)); err != nil {
			return fmt.Errorf("after %d batches of each of %d nodes, all sent twice: %w", batches, nodes, err)
		}
	}
	return nil
}

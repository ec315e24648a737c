package apikeytest

import (
	"context"
	"fmt"
	"time"

	"github.com/go-apikey/apikey"
)

// used is n requests with the first secret of a key.
func used(id string, n int) apikey.UsageEntry {
	return apikey.UsageEntry{KeyID: id, Secret: 1, Hour: epoch, LastUsed: epoch.Add(time.Minute), Requests: int64(n)}
}

// batch is of entries that are sorted as a Manager sorts them.
func batch(node string, seq int64, entries ...apikey.UsageEntry) apikey.UsageBatch {
	return apikey.UsageBatch{Node: node, Seq: seq, Entries: entries}
}

// usageOf is what entries of one key, each applied once, add up to.
func usageOf(entries ...apikey.UsageEntry) apikey.Usage {
	var u apikey.Usage
	for _, e := range entries {
		u.Requests += e.Requests
		u.Limited += e.Limited
		u.Denied += e.Denied
		if e.LastUsed.After(u.LastUsedAt) {
			u.LastUsedAt = e.LastUsed
		}
		if e.LastUsed.After(u.LastUsed[e.Secret]) {
			if u.LastUsed == nil {
				u.LastUsed = map[uint32]time.Time{}
			}
			u.LastUsed[e.Secret] = e.LastUsed
		}
		if e.LastRefusal.At.After(u.LastRefusal.At) {
			u.LastRefusal = e.LastRefusal
		}
	}
	return u
}

// addUsage adds batches.
func (e *storeEnv) addUsage(ctx context.Context, batches ...apikey.UsageBatch) error {
	for _, b := range batches {
		if err := e.AddUsage(ctx, b); err != nil {
			return fmt.Errorf("AddUsage of %d entries of node %q, Seq %d: %w", len(b.Entries), b.Node, b.Seq, err)
		}
	}
	return nil
}

// usageIs reports what is wrong if List does not show u as the usage of the
// key id.
func (e *storeEnv) usageIs(ctx context.Context, id string, u apikey.Usage) error {
	keys, err := e.list(ctx, apikey.Query{AllOwners: true, IDs: []string{id}})
	if err != nil {
		return err
	}
	if len(keys) != 1 {
		return fmt.Errorf("List of ID %s gave %d keys, want 1", id, len(keys))
	}
	if d := diff(u, keys[0].Usage); d != "" {
		return fmt.Errorf("List: the usage of %s (-want +got):\n%s", id, d)
	}
	return nil
}

package sqlstore

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/go-apikey/apikey"
)

// keptBatches is how many batches of a node are remembered, the highest. A node
// has one in flight, so that the last one would do; more of them let numbers
// that come out of order be told apart too.
const keptBatches = 8

// AddUsage is as [apikey.Store] says. A batch is applied in full or not at all,
// in one transaction. One whose Seq is below the highest eight that were applied
// of its node is taken as one that was.
func (s *Store) AddUsage(ctx context.Context, b apikey.UsageBatch) error {
	if err := ctx.Err(); err != nil {
		return notApplied(ctx, err)
	}
	if !storable(b.Node, 255) || b.Node == "" {
		return fmt.Errorf("%w: %w: sqlstore: Node must be UTF-8 without NUL, of 1 to 255 bytes", apikey.ErrNotApplied, apikey.ErrInvalid)
	}
	ids, seen := []string{}, time.Now().UnixMicro() // what an import brings was used long ago, and is sent now
	for i := range b.Entries {
		if e := &b.Entries[i]; isID(e.KeyID) {
			ids = append(ids, e.KeyID)
			seen = max(seen, e.Hour.UnixMicro())
		}
	}
	if len(ids) == 0 {
		return nil
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	return s.write(ctx, func(x *session) error {
		// Batches of one node, of which one may have been given up and still be
		// under way, wait for one another: what was applied is read after that.
		if _, err := x.exec(ctx, s.sql.lockNode, args{"node": b.Node, "seen": seen}); err != nil {
			return err
		}
		before, err := x.batchesBefore(ctx, &b)
		if err != nil || before.missed {
			return err
		}
		usable, err := x.usable(ctx, slices.DeleteFunc(slices.Clone(ids), before.has))
		if err != nil || len(usable) == 0 {
			return err
		}
		if err := x.addSums(ctx, sumUp(&b, usable)); err != nil {
			return err
		}
		_, err = x.exec(ctx, s.sql.keepBatch, args{
			"node": b.Node, "slot": before.slot, "seq": b.Seq, "key_ids": before.with(usable),
		})
		return err
	})
}

// batches are what is remembered of those that a node sent before one.
type batches struct {
	missed bool            // it is below all of them: nobody knows any more who had it
	higher map[string]bool // the keys that have had it, or a higher one
	same   string          // of these, the ones that had this very one
	slot   int64           // where it is remembered: its own, a free one, or that of the lowest
}

func (x *session) batchesBefore(ctx context.Context, b *apikey.UsageBatch) (*batches, error) {
	rows, err := x.rows(ctx, x.store.sql.hadBatches, args{"node": b.Node, "seq": b.Seq})
	if err != nil {
		return nil, err
	}
	before := &batches{higher: make(map[string]bool)}
	var seqs [keptBatches]int64 // by slot; 0: free
	err = eachRow(rows, func(scan func(...any) error) error {
		var slot, seq int64
		var ids string
		if err := scan(&slot, &seq, &ids); err != nil {
			return err
		}
		if slot < 0 || slot >= keptBatches {
			return fmt.Errorf("a batch of node %q is in slot %d, of %d", b.Node, slot, keptBatches)
		}
		seqs[slot] = seq
		for id := range strings.FieldsSeq(ids) { // none if seq is below b.Seq
			before.higher[id] = true
		}
		if seq == b.Seq {
			before.same = ids
		}
		return nil
	})
	lowest := slices.Min(seqs[:])
	before.slot = int64(slices.Index(seqs[:], lowest))
	if own := slices.Index(seqs[:], b.Seq); own >= 0 {
		before.slot = int64(own)
	}
	before.missed = b.Seq <= 0 || b.Seq < lowest
	return before, err
}

func (h *batches) has(id string) bool { return h.higher[id] }

// with is same and the IDs of more.
func (h *batches) with(more map[string]bool) string {
	ids := slices.AppendSeq(strings.Fields(h.same), maps.Keys(more))
	return strings.Join(ids, " ")
}

// usable are those of the keys that exist. They are not deleted before the
// transaction has ended.
func (x *session) usable(ctx context.Context, ids []string) (map[string]bool, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	rows, err := x.rows(ctx, x.store.sql.usable, args{"ids": list(ids)})
	if err != nil {
		return nil, err
	}
	usable := make(map[string]bool, len(ids))
	return usable, eachRow(rows, func(scan func(...any) error) error {
		var id string
		err := scan(&id)
		usable[id] = true
		return err
	})
}

// sums are what a batch adds, at most one row for each row stored, in the order
// of their primary keys: whoever locks in another order meets a deadlock.
type sums struct {
	usage    [][]any // key, secret, requests, limited, denied, last used
	refusals [][]any // key, secret, time, peer, reason
	hours    [][]any // key, hour, requests, limited, denied
}

// sumUp goes through the entries twice, sorted as the rows of each table are.
func sumUp(b *apikey.UsageBatch, usable map[string]bool) *sums {
	entries := make([]*apikey.UsageEntry, 0, len(b.Entries))
	for i := range b.Entries {
		if e := &b.Entries[i]; usable[e.KeyID] {
			entries = append(entries, e)
		}
	}
	sum := &sums{}
	slices.SortFunc(entries, func(a, b *apikey.UsageEntry) int {
		return cmp.Or(strings.Compare(a.KeyID, b.KeyID), cmp.Compare(a.Secret, b.Secret))
	})
	for rest := entries; len(rest) > 0; {
		of, n, used, refused := rest[0], count{}, int64(0), apikey.Refusal{}
		for ; len(rest) > 0 && rest[0].KeyID == of.KeyID && rest[0].Secret == of.Secret; rest = rest[1:] {
			n.add(rest[0])
			used = max(used, micro(rest[0].LastUsed))
			if micro(rest[0].LastRefusal.At) > micro(refused.At) {
				refused = rest[0].LastRefusal
			}
		}
		sum.usage = append(sum.usage, []any{of.KeyID, int64(of.Secret), n.requests, n.limited, n.denied, used})
		if !refused.At.IsZero() {
			sum.refusals = append(sum.refusals, []any{of.KeyID, int64(of.Secret), micro(refused.At), peerText(refused.Peer), strings.ToValidUTF8(string(refused.Reason), "\uFFFD")})
		}
	}
	slices.SortFunc(entries, func(a, b *apikey.UsageEntry) int {
		return cmp.Or(strings.Compare(a.KeyID, b.KeyID), a.Hour.Compare(b.Hour))
	})
	for rest := entries; len(rest) > 0; {
		of, n := rest[0], count{}
		for ; len(rest) > 0 && rest[0].KeyID == of.KeyID && rest[0].Hour.Equal(of.Hour); rest = rest[1:] {
			n.add(rest[0])
		}
		if n != (count{}) {
			sum.hours = append(sum.hours, []any{of.KeyID, of.Hour.UnixMicro(), n.requests, n.limited, n.denied})
		}
	}
	return sum
}

type count struct{ requests, limited, denied int64 }

func (c *count) add(e *apikey.UsageEntry) {
	c.requests += e.Requests
	c.limited += e.Limited
	c.denied += e.Denied
}

// peerText is "" for an address that is not known. A zone that no interface
// has would not fit.
func peerText(peer netip.Addr) string {
	if !peer.IsValid() {
		return ""
	}
	if text := peer.String(); storable(text, 255) {
		return text
	}
	return peer.WithZone("").String()
}

func (x *session) addSums(ctx context.Context, sum *sums) error {
	if err := x.execRows(ctx, x.store.sql.addUsage, sum.usage); err != nil {
		return err
	}
	if err := x.execRows(ctx, x.store.sql.addRefusals, sum.refusals); err != nil {
		return err
	}
	return x.execRows(ctx, x.store.sql.addHours, sum.hours)
}

// Usage is as [apikey.UsageReader] says. Hours are there until Prune finds them
// older than Config.KeepUsage.
func (s *Store) Usage(ctx context.Context, id string, q apikey.UsageQuery) ([]apikey.UsagePoint, error) {
	a := args{"id": id, "from": int64(math.MinInt64), "to": int64(math.MaxInt64)}
	if !q.From.IsZero() {
		a["from"] = q.From.UnixMicro()
	}
	if !q.To.IsZero() {
		a["to"] = q.To.UnixMicro()
	}
	var points []apikey.UsagePoint
	err := s.read(ctx, func(x *session) error {
		points = nil
		if !isID(id) {
			return nil
		}
		rows, err := x.rows(ctx, s.sql.hours, a)
		if err != nil {
			return err
		}
		return eachRow(rows, func(scan func(...any) error) error {
			var hour int64
			var p apikey.UsagePoint
			err := scan(&hour, &p.Requests, &p.Limited, &p.Denied)
			p.Hour = timeOf(hour)
			points = append(points, p)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return points, nil
}

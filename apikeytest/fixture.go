package apikeytest

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/go-cmp/cmp"         //nolint:depguard // this package is for tests
	"github.com/google/go-cmp/cmp/cmpopts" //nolint:depguard // this package is for tests

	"github.com/go-apikey/apikey"
)

// epoch is about when the suite's keys live. It is in the past and the times
// that are far from it are far in both directions, so that a Store that goes
// by a clock is found out whatever the clock shows.
var epoch = time.Date(2021, 3, 4, 5, 0, 0, 0, time.UTC)

// noCap is a Write.MaxKeys that counts nothing.
const noCap = -1

// testKey is an active key, the n-th; a greater n is made later.
func testKey(n int, owner string) *apikey.Key {
	made := epoch.Add(time.Duration(n) * time.Second)
	return &apikey.Key{
		ID: fmt.Sprintf("Key%09d", n), Owner: owner, Name: fmt.Sprintf("Key %d", n), Environment: "live",
		Permissions: apikey.Permissions{"calls:read"}, CreatedAt: made, CreatedBy: "suite",
		Secrets: []apikey.Secret{{N: 1, Prefix: "sk_", CreatedAt: made}}, Version: 1,
	}
}

// testKeys are the keys 0 to n-1 of one owner.
func testKeys(n int, owner string) []*apikey.Key {
	keys := make([]*apikey.Key, n)
	for i := range keys {
		keys[i] = testKey(i, owner)
	}
	return keys
}

// record is k's; each of its secrets has a digest of its own.
func record(k *apikey.Key) *apikey.Record {
	digests := make([]apikey.Digest, len(k.Secrets))
	for i, s := range k.Secrets {
		digests[i] = apikey.SumToken(fmt.Sprint(k.ID, s.N))
	}
	rec, err := apikey.NewRecord(k, digests...)
	if err != nil {
		panic(err) // a mistake of the suite
	}
	return rec
}

// write is what goes with a write of k.
func write(action string, k *apikey.Key, maxKeys int) apikey.Write {
	return apikey.Write{
		Change: apikey.Change{
			At: epoch.Add(time.Duration(k.Version) * time.Hour), Actor: "suite", Action: action, KeyID: k.ID, Owner: k.Owner,
			Fields: []apikey.FieldChange{{Name: "version", Old: fmt.Sprint(k.Version - 1), New: fmt.Sprint(k.Version)}},
		},
		MaxKeys: maxKeys,
	}
}

// writeAt is write at a given time.
func writeAt(at time.Time, k *apikey.Key, maxKeys int) apikey.Write {
	w := write("write", k, maxKeys)
	w.At = at
	return w
}

// add creates keys, without a cap.
func (e *storeEnv) add(ctx context.Context, keys ...*apikey.Key) error {
	for _, k := range keys {
		if err := e.Create(ctx, record(k), write("create", k, noCap)); err != nil {
			return fmt.Errorf("Create(%s): %w", k.ID, err)
		}
	}
	return nil
}

// change reads a key, changes it and writes it back, once.
func (e *storeEnv) change(ctx context.Context, id string, f func(*apikey.Key)) error {
	rec, err := e.get(ctx, id)
	if err != nil {
		return err
	}
	k := rec.Key()
	f(k)
	k.Version++
	if err := e.Update(ctx, record(k), write("update", k, noCap)); err != nil {
		return fmt.Errorf("Update(%s to version %d): %w", id, k.Version, err)
	}
	return nil
}

// remove deletes the key k.
func (e *storeEnv) remove(ctx context.Context, k *apikey.Key) error {
	if err := e.Delete(ctx, k.ID, write("delete", k, noCap)); err != nil {
		return fmt.Errorf("Delete(%s): %w", k.ID, err)
	}
	return nil
}

// get is Get of what must be there.
func (e *storeEnv) get(ctx context.Context, ref string) (*apikey.Record, error) {
	rec, err := e.Get(ctx, ref)
	if err != nil {
		return nil, fmt.Errorf("Get(%.40q): %w", ref, err)
	}
	if rec == nil {
		return nil, fmt.Errorf("Get(%.40q) = nil, nil", ref)
	}
	return rec, nil
}

// absent reports what is wrong if Get finds any of refs.
func (e *storeEnv) absent(ctx context.Context, refs ...string) error {
	for _, ref := range refs {
		rec, err := e.Get(ctx, ref)
		if !errors.Is(err, apikey.ErrNotFound) || rec != nil {
			return fmt.Errorf("Get(%.40q) = %v, %w; want nil and ErrNotFound", ref, rec, orNil(err))
		}
	}
	return nil
}

// holds reports what is wrong if Get does not give exactly rec.
func (e *storeEnv) holds(ctx context.Context, ref string, rec *apikey.Record) error {
	got, err := e.get(ctx, ref)
	if err != nil {
		return err
	}
	if !slices.Equal(got.Bytes(), rec.Bytes()) {
		return fmt.Errorf("Get(%.40q): the record is not what was stored, byte for byte; the keys differ by (-stored +returned):\n%s",
			ref, diff(rec.Key(), got.Key()))
	}
	return nil
}

// want reports what is wrong if err is not target.
func want(target, err error, call string, args ...any) error {
	if target == nil && err == nil || target != nil && errors.Is(err, target) {
		return nil
	}
	return fmt.Errorf("%s: got error %q; want one that is %q to errors.Is", fmt.Sprintf(call, args...), orNil(err), orNil(target))
}

// orNil makes a nil error one that prints.
func orNil(err error) error {
	if err == nil {
		return errNil
	}
	return err
}

var errNil = errors.New("nil")

// diff is "" if want and got are equal. Empty is equal to nil; a time in
// another place than UTC is not equal to it.
func diff(want, got any) string {
	if reflect.DeepEqual(want, got) {
		return "" // which cmp finds as well, in more time
	}
	d := cmp.Diff(want, got, cmpopts.EquateEmpty(),
		cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}),
		cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) && a.Location() == b.Location() }))
	return strings.ReplaceAll(d, "\u00a0", " ")
}

// together calls f n times at once and returns the n answers.
func together(n int, f func(i int) error) []error {
	errs := make([]error, n)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-start
			errs[i] = f(i)
		})
	}
	close(start)
	wg.Wait()
	return errs
}

// count is how many of errs are nil; the others must be target.
func count(errs []error, target error, call string) (int, error) {
	n := 0
	for _, err := range errs {
		if err == nil {
			n++
		} else if !errors.Is(err, target) {
			return n, fmt.Errorf("%s, called at once: %w; want nil or %q", call, err, target)
		}
	}
	return n, nil
}

// random is a generator of test data, the same on every run: SplitMix64
// (Steele, Lea and Flood, 2014).
type random uint64

// n is in 0 to most-1.
func (r *random) n(most int) int {
	*r += 0x9e3779b97f4a7c15
	z := uint64(*r)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return int((z ^ z>>31) % uint64(most))
}

// pick is one of from.
func pick[T any](r *random, from ...T) T { return from[r.n(len(from))] }

// first is the first error among errs: the others often follow from it.
func first(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// ignoring is err, or nil where it is target.
func ignoring(err, target error) error {
	if errors.Is(err, target) {
		return nil
	}
	return err
}

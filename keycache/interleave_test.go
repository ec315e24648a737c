package keycache

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-apikey/apikey"
)

// ways in which a cache comes to know of a revocation.
var ways = map[string]func(r *rig){
	"written through the cache":       func(r *rig) { r.revoke(r.Store) },
	"written through what it unwraps": func(r *rig) { r.revoke(r.Unwrap()) },
	"told by ID":                      func(r *rig) { r.revoke(r.store); r.Forget(keyID) },
	"told by alias":                   func(r *rig) { r.revoke(r.store); r.Forget(keyAlias) },
	"told by both":                    func(r *rig) { r.revoke(r.store); r.Forget(keyID, keyAlias) },
	"told to forget all":              func(r *rig) { r.revoke(r.store); r.forgetAll() },
	"told among many": func(r *rig) {
		r.revoke(r.store)
		r.Forget(keyID)
		for i := range mostDrops + 1 {
			r.Forget(fmt.Sprint("other", i))
		}
	},
}

// TestInterleavings steps through every order of these: a fill F begins, reads
// and answers; the key is revoked; others join, under either name. A Get that
// starts after the revocation was acknowledged must see it, in whatever order
// the rest comes, and so must all later ones, from the cache or not.
func TestInterleavings(t *testing.T) {
	for _, order := range orders() {
		for way, revoke := range ways {
			for _, names := range [][2]string{{keyID, keyID}, {keyAlias, keyAlias}, {keyID, keyAlias}, {keyAlias, keyID}} {
				t.Run(fmt.Sprintf("%s/%s/%s then %s", strings.Join(order, " "), way, names[0], names[1]), func(t *testing.T) {
					inBubble(t, nil, func(r *rig) { interleave(r, order, revoke, names) })
				})
			}
		}
	}
}

// orders are all in which a fill begins before it reads and reads before it
// answers, and the first of two others joins before the second.
func orders() [][]string {
	var all [][]string
	var extend func(done []string, left map[string]int)
	extend = func(done []string, left map[string]int) {
		if len(done) == 6 {
			all = append(all, append([]string(nil), done...))
			return
		}
		for _, line := range [][]string{{"begin", "read", "answer"}, {"revoke"}, {"join1", "join2"}} {
			if i := left[line[0]]; i < len(line) {
				left[line[0]]++
				extend(append(done, line[i]), left)
				left[line[0]]--
			}
		}
	}
	extend(nil, map[string]int{})
	return all
}

func interleave(r *rig, order []string, revoke func(*rig), names [2]string) {
	r.create()
	r.store.hold = true
	ctx := r.Context()
	mustSee := map[string]*answer{} // those that came after the revocation
	maySee := map[string]*answer{}  // those that came before
	revoked := false
	start := func(what, name string) {
		if revoked {
			mustSee[what] = r.get(ctx, name)
		} else {
			maySee[what] = r.get(ctx, name)
		}
	}
	for _, what := range order {
		switch what {
		case "begin":
			start(what, names[0])
		case "read": // of the first query, whoever began it
			close(r.store.step(0).read)
			synctest.Wait()
		case "answer":
			r.finish(0)
		case "revoke":
			revoke(r)
			revoked = true
		default:
			start(what, names[1])
		}
	}
	r.settle()
	for what, a := range mustSee {
		if a.String() != "revoked" {
			r.Errorf("%s came after the revocation: %v (%v)", what, a, a.err)
		}
	}
	for what, a := range maySee {
		if s := a.String(); s != "revoked" && s != "live" {
			r.Errorf("%s came before the revocation: %v (%v)", what, a, a.err)
		}
	}
	for _, name := range []string{keyID, keyAlias} {
		a := r.get(ctx, name)
		r.settle()
		r.want(a, "revoked")
	}
}

// settle lets every query read and answer, until none is left.
func (r *rig) settle() {
	i := 0
	for i < r.store.count() {
		r.finish(i)
		i++
	}
}

// What is found under one name is found under the other.
func TestBothNames(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.create()
		r.want(r.get(r.Context(), keyAlias), "live")
		r.want(r.get(r.Context(), keyID), "live")
		r.want(r.get(r.Context(), keyAlias), "live")
		r.wantQueries(1)
	})
}

// A Get that starts after a key was created must not share the query of one
// that did not find it.
func TestCreateIsSeen(t *testing.T) {
	for _, name := range []string{keyID, keyAlias} {
		inBubble(t, nil, func(r *rig) {
			r.store.hold = true
			before := r.get(r.Context(), name)
			close(r.store.step(0).read)
			synctest.Wait()
			if err := r.Create(r.Context(), record(keyID, keyAlias, 1, false), noCap); err != nil {
				r.Fatal(err)
			}
			after := r.get(r.Context(), name)
			r.settle()
			r.want(before, "not found")
			r.want(after, "live")
			r.wantQueries(2)
		})
	}
}

// Of two reads the one that began later stays, in whatever order they answer.
func TestLaterReadStays(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.create()
		r.store.hold = true
		older := r.get(r.Context(), keyID)
		time.Sleep(time.Millisecond) //nolint:forbidigo // of the bubble's clock
		newer := r.get(r.Context(), keyAlias)
		close(r.store.step(0).read)
		r.want(newer, "waits") // and the older one has read
		r.revoke(r.store)      // nobody tells the cache
		r.finish(1)
		r.finish(0)
		r.want(older, "live")
		r.want(newer, "revoked")
		r.want(r.get(r.Context(), keyID), "revoked")
		r.wantQueries(2)
	})
}

// A write forgets before it returns also where it fails, and where it panics.
func TestWritesThatFail(t *testing.T) {
	for name, write := range map[string]func(r *rig){
		"update": func(r *rig) { _ = r.Update(r.Context(), record(keyID, keyAlias, 7, false), noCap) },
		"create": func(r *rig) { _ = r.Create(r.Context(), record(keyID, keyAlias, 1, false), noCap) },
		"delete": func(r *rig) { _ = r.Delete(r.Context(), keyID, noCap) },
		"panic": func(r *rig) {
			defer func() { _ = recover() }()
			s := r.Store.through
			s.inner = panics{s.inner}
			_ = s.Update(r.Context(), record(keyID, keyAlias, 2, false), noCap)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(r *rig) {
				r.create()
				r.want(r.get(r.Context(), keyAlias), "live")
				write(r)
				_, _ = r.Get(r.Context(), keyAlias)
				r.wantQueries(2)
			})
		})
	}
}

type panics struct{ apikey.Store }

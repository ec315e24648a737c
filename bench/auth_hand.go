package bench

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"hash/crc32"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/go-apikey/apikey"
)

// handGuards are those that one writes without a library.
func handGuards() []Subject {
	return []Subject{
		{
			Name:   "hand-written, sha256 + map",
			Leaves: "checksum, expiry and revocation, permissions, counting, limits, headers; no key can be added while it runs, as nothing locks the map",
			Start:  startSumMap,
		},
		{
			Name:   "hand-written, naive",
			Leaves: "as sha256 + map, with the hash in hexadecimal and the header split by Fields, as first versions have it",
			Start:  startNaive,
		},
		{
			Name:   "hand-written, all of it",
			Leaves: "usage is not stored, keys cannot be changed, idle limiters are never dropped, one plan for all; a limit that refuses does not give back what the other gave; the time until the bucket is full is a constant; a refusal is a bare status, without challenge, document or count",
			Start:  startHandTable,
		},
	}
}

// sums are the owners of keys by the SHA-256 of their tokens. Whose digest
// differs by timing learns nothing: the sender does not choose it.
type sums map[[sha256.Size]byte]string

func sumsOf(w *Workload) sums {
	s := make(sums, w.Keys)
	for _, i := range w.Order() {
		s[sha256.Sum256([]byte(w.Tokens[i]))] = w.Owner(i)
	}
	return s
}

// owner is that of a token, which a buffer on the stack takes to be hashed: the
// conversion to bytes alone would put it on the heap.
func (s sums) owner(token string) (string, bool) {
	var buf [64]byte
	owner, ok := s[sha256.Sum256(append(buf[:0], token...))]
	return owner, ok
}

// startSumMap is the best simple check.
func startSumMap(w *Workload) (*Running, error) {
	keys := sumsOf(w)
	return bearerSubject(w, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		owner, ok := keys.owner(token)
		if !ok {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		protectedByHand.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), ownerKey{}, owner)))
	})), nil
}

// startNaive is what a first version looks like.
func startNaive(w *Workload) (*Running, error) {
	keys := make(map[string]string, w.Keys)
	for _, i := range w.Order() {
		sum := sha256.Sum256([]byte(w.Tokens[i]))
		keys[hex.EncodeToString(sum[:])] = w.Owner(i)
	}
	return bearerSubject(w, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fields := strings.Fields(r.Header.Get("Authorization"))
		if len(fields) != 2 || fields[0] != "Bearer" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		sum := sha256.Sum256([]byte(fields[1]))
		owner, ok := keys[hex.EncodeToString(sum[:])]
		if !ok {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		protectedByHand.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), ownerKey{}, owner)))
	})), nil
}

func startHandTable(w *Workload) (*Running, error) {
	clients := sendTo(newHandTable(w, wideLimit()).guard(protectedByTable, permission), authorization)
	return tokenSubject(w, "Bearer ", clients, func() (clientMaker, error) {
		return sendTo(newHandTable(w, spentLimit()).guard(protectedByTable, permission), authorization), nil
	}), nil
}

// handTable is what a careful engineer writes without a library.
type handTable struct {
	mu    sync.RWMutex
	keys  map[string]*handKey
	limit apikey.Limit
}

type handKey struct {
	digest   [sha256.Size]byte
	expires  int64
	revoked  bool
	owner    string
	perms    []string
	requests atomic.Int64
	lastUsed atomic.Int64
	byKey    *rate.Limiter
	byOwner  *rate.Limiter
}

func newHandTable(w *Workload, limit apikey.Limit) *handTable {
	t := &handTable{keys: make(map[string]*handKey, w.Keys), limit: limit}
	perSecond := rate.Limit(float64(limit.N) / limit.Per.Seconds())
	owners := make(map[string]*rate.Limiter)
	for _, i := range w.Order() {
		owner := w.Owner(i)
		if owners[owner] == nil {
			owners[owner] = rate.NewLimiter(perSecond, limit.N)
		}
		t.keys[strings.Clone(w.ID(i))] = &handKey{
			digest: sha256.Sum256([]byte(w.Tokens[i])), owner: owner, perms: []string{"documents:generate", "templates:*"},
			byKey: rate.NewLimiter(perSecond, limit.N), byOwner: owners[owner],
		}
	}
	return t
}

// verify reads alphabet and checksum, looks up, compares digests, asks state,
// clock and limits, and counts. It returns the status of the answer.
func (t *handTable) verify(token string, now time.Time) (*handKey, int) {
	var buf [64]byte
	raw := buf[:copy(buf[:], token)]
	if len(token) != tokenLen || token[:len(prefix)] != prefix || !wellFormed(raw) {
		return nil, http.StatusUnauthorized
	}
	t.mu.RLock()
	k := t.keys[token[len(prefix):idEnd]]
	t.mu.RUnlock()
	if k == nil {
		return nil, http.StatusUnauthorized
	}
	digest := sha256.Sum256(raw)
	if subtle.ConstantTimeCompare(digest[:], k.digest[:]) != 1 {
		return nil, http.StatusUnauthorized
	}
	if k.revoked || k.expires != 0 && now.UnixMicro() >= k.expires {
		return nil, http.StatusUnauthorized
	}
	if !k.byOwner.AllowN(now, 1) || !k.byKey.AllowN(now, 1) {
		return nil, http.StatusTooManyRequests
	}
	k.requests.Add(1)
	k.lastUsed.Store(now.UnixMicro())
	return k, http.StatusOK
}

// wellFormed reports whether a token of the right length has characters of
// base62 and the checksum of what stands before it.
func wellFormed(raw []byte) bool {
	for _, c := range raw[len(prefix):] {
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	var want uint64
	for _, c := range raw[secretEnd:] {
		want = want*62 + uint64(strings.IndexByte(base62, c))
	}
	return want == uint64(crc32.Update(0, ieee, raw[:secretEnd]))
}

var ieee = crc32.MakeTable(crc32.IEEE)

type handContext struct {
	context.Context //nolint:containedctx // it is one
	key             *handKey
}

type handContextKey struct{}

func (c *handContext) Value(key any) any {
	if key == (handContextKey{}) {
		return c.key
	}
	return c.Context.Value(key)
}

// protectedByTable is behind a handTable.
var protectedByTable http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	k, ok := r.Context().Value(handContextKey{}).(*handKey)
	if !ok {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.WriteHeader(answerTo(k.owner))
})

// guard is the middleware around verify, with a context of its own type.
func (t *handTable) guard(next http.Handler, perm string) http.Handler {
	name := strconv.Quote(t.limit.Name)
	policy := name + ";q=" + strconv.Itoa(t.limit.N) + ";w=" + strconv.Itoa(int(t.limit.Per.Seconds()))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		now := time.Now()
		k, status := t.verify(token, now)
		if k == nil {
			w.WriteHeader(status)
			return
		}
		if !slices.ContainsFunc(k.perms, func(p string) bool {
			before, wild := strings.CutSuffix(p, "*")
			return p == perm || wild && strings.HasPrefix(perm, before)
		}) {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		remaining := min(k.byKey.TokensAt(now), k.byOwner.TokensAt(now))
		w.Header().Set("Ratelimit-Policy", policy) // as net/http spells it: else it is spelt anew for each request
		w.Header().Set("Ratelimit", name+";r="+strconv.Itoa(int(remaining))+";t=1")
		w.Header().Set("Cache-Control", "private")
		w.Header().Set("Vary", "Authorization")
		next.ServeHTTP(w, r.WithContext(&handContext{r.Context(), k}))
	})
}

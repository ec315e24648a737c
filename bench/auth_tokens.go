package bench

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"net/http"
	"strings"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/alexedwards/scs/v2/memstore"
	"github.com/go-chi/jwtauth/v5"
	"github.com/golang-jwt/jwt/v5"
	jwxjwt "github.com/lestrrat-go/jwx/v2/jwt"
	"github.com/shaj13/go-guardian/v2/auth"
	"github.com/shaj13/go-guardian/v2/auth/strategies/token"
	"github.com/shaj13/libcache"
	_ "github.com/shaj13/libcache/fifo" // FIFO
)

// tokenGuards are libraries that authenticate by a token of their own kind.
func tokenGuards() []Subject {
	return []Subject{
		{
			Name:   "go-guardian, static token",
			Module: guardianModule,
			Leaves: "all but authentication; it keeps tokens as they are, as its SetHash has this version refuse every one, and looks them up under one lock",
			Start:  startGuardianStatic,
		},
		{
			Name:   "go-guardian, cached token",
			Module: guardianModule,
			Leaves: "all but authentication: its function looks up the SHA-256 in a map, once a day for each token, and for so long a revoked one passes; it keeps tokens as they are",
			Start:  startGuardianCached,
		},
		{
			Name:   "golang-jwt, HS256",
			Module: golangJWTModule,
			Leaves: jwtLeaves,
			Start:  startHS256,
		},
		{
			Name:   "golang-jwt, EdDSA",
			Module: golangJWTModule,
			Leaves: jwtLeaves,
			Start:  startEdDSA,
		},
		{
			Name:   "chi jwtauth, HS256",
			Module: "github.com/go-chi/jwtauth/v5",
			Leaves: jwtLeaves,
			Start:  startChiJWT,
		},
		{
			Name:   "scs session",
			Module: "github.com/alexedwards/scs/v2",
			Leaves: "all but the session, which holds the owner, in its memory store with its own encoding; it keeps tokens as they are (HashTokenInStore would hash them)",
			Start:  startSCS,
		},
	}
}

const (
	guardianModule  = "github.com/shaj13/go-guardian/v2"
	golangJWTModule = "github.com/golang-jwt/jwt/v5"
)

func startGuardianStatic(w *Workload) (*Running, error) {
	tokens := make(map[string]auth.Info, w.Keys)
	for _, i := range w.Order() {
		tokens[w.Tokens[i]] = auth.NewUserInfo(w.Owner(i), w.ID(i), nil, nil)
	}
	return bearerSubject(w, guardianGuard(token.NewStatic(tokens))), nil
}

func startGuardianCached(w *Workload) (*Running, error) {
	keys := sumsOf(w)
	strategy := token.New(func(_ context.Context, _ *http.Request, tok string) (auth.Info, time.Time, error) {
		owner, ok := keys.owner(tok)
		if !ok {
			return nil, time.Time{}, token.ErrTokenNotFound
		}
		return auth.NewUserInfo(owner, owner, nil, nil), time.Now().Add(24 * time.Hour), nil
	}, libcache.FIFO.New(0))
	clients := sendTo(guardianGuard(strategy), authorization)
	return tokenSubject(w, "Bearer ", clients, nil), warm(w, clients, "Bearer ")
}

var protectedByGuardian http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	w.WriteHeader(answerTo(auth.User(r).GetUserName()))
})

func guardianGuard(strategy auth.Strategy) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, err := strategy.Authenticate(r.Context(), r)
		if err != nil {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		protectedByGuardian.ServeHTTP(w, auth.RequestWithUser(user, r))
	})
}

const jwtLeaves = "all but authentication: nothing is looked up, so a token cannot be revoked before it expires; at most 10,000 tokens, used in turn"

// mostJWTs bounds how many tokens are signed: more take no other path.
const mostJWTs = 10_000

func startHS256(w *Workload) (*Running, error) {
	key, other := sha256.Sum256([]byte("one")), sha256.Sum256([]byte("other"))
	return jwtSubject(w, golangJWT(jwt.SigningMethodHS256, key[:]), func(claims jwt.Claims, wrong bool) (string, error) {
		if wrong {
			return jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(other[:])
		}
		return jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(key[:])
	})
}

func startEdDSA(w *Workload) (*Running, error) {
	one, two := sha256.Sum256([]byte("one")), sha256.Sum256([]byte("other"))
	key, other := ed25519.NewKeyFromSeed(one[:]), ed25519.NewKeyFromSeed(two[:])
	return jwtSubject(w, golangJWT(jwt.SigningMethodEdDSA, key.Public()), func(claims jwt.Claims, wrong bool) (string, error) {
		if wrong {
			return jwt.NewWithClaims(jwt.SigningMethodEdDSA, claims).SignedString(other)
		}
		return jwt.NewWithClaims(jwt.SigningMethodEdDSA, claims).SignedString(key)
	})
}

func startChiJWT(w *Workload) (*Running, error) {
	key, other := sha256.Sum256([]byte("one")), sha256.Sum256([]byte("other"))
	ja := jwtauth.New("HS256", key[:], nil)
	h := jwtauth.Verifier(ja)(jwtauth.Authenticator(ja)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := r.Context().Value(jwtauth.TokenCtxKey).(jwxjwt.Token) // FromContext would make a map of all claims
		w.WriteHeader(answerTo(token.Subject()))
	})))
	return jwtSubject(w, h, func(claims jwt.Claims, wrong bool) (string, error) {
		if wrong {
			return jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(other[:])
		}
		return jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(key[:])
	})
}

// golangJWT checks signature and expiry, and hands on the subject.
func golangJWT(method jwt.SigningMethod, key any) http.Handler {
	parser := jwt.NewParser(jwt.WithValidMethods([]string{method.Alg()}), jwt.WithExpirationRequired())
	keyOf := func(*jwt.Token) (any, error) { return key, nil } //nolint:unparam // a jwt.Keyfunc
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tok, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		var claims jwt.RegisteredClaims
		if _, err := parser.ParseWithClaims(tok, &claims, keyOf); err != nil {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		protectedByHand.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), ownerKey{}, claims.Subject)))
	})
}

// jwtSubject signs the tokens itself. WrongSecret is one signed by another key;
// Unknown does not exist.
func jwtSubject(w *Workload, h http.Handler, sign func(claims jwt.Claims, wrong bool) (string, error)) (*Running, error) {
	good, wrong, cut := make([]string, min(w.Keys, mostJWTs)), make([]string, min(w.Keys, mostJWTs)), make([]string, min(w.Keys, mostJWTs))
	expires := jwt.NewNumericDate(time.Now().Add(1000 * time.Hour))
	for i := range good {
		claims := jwt.RegisteredClaims{Subject: w.Owner(i), ID: w.ID(i), ExpiresAt: expires}
		var err error
		if good[i], err = sign(claims, false); err != nil {
			return nil, err
		}
		if wrong[i], err = sign(claims, true); err != nil {
			return nil, err
		}
		cut[i] = good[i][:strings.LastIndexByte(good[i], '.')]
	}
	credentials := map[Case][]string{Accepted: each("Bearer ", good), WrongSecret: each("Bearer ", wrong), Malformed: each("Bearer ", cut)}
	clients := sendTo(h, authorization)
	return &Running{
		Requests: func(c Case) []string { return credentials[c] },
		Client:   func(Case) func(string) int { return clients() },
		Close:    func() {},
	}, nil
}

func startSCS(w *Workload) (*Running, error) {
	sessions := scs.New()
	sessions.Store = memstore.NewWithCleanupInterval(0) // one that ends with its subject
	sessions.Lifetime = 1000 * time.Hour
	tokens := make([]string, w.Keys)
	for _, i := range w.Order() {
		ctx, err := sessions.Load(context.Background(), "")
		if err != nil {
			return nil, err
		}
		sessions.Put(ctx, "owner", w.Owner(i))
		if tokens[i], _, err = sessions.Commit(ctx); err != nil {
			return nil, err
		}
	}
	h := sessions.LoadAndSave(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		owner := sessions.GetString(r.Context(), "owner")
		if owner == "" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.WriteHeader(answerTo(owner))
	}))
	clients := sendTo(h, "Cookie")
	before := sessions.Cookie.Name + "="
	return &Running{
		Requests: func(c Case) []string {
			switch c {
			case Accepted:
				return each(before, tokens)
			case Unknown:
				return each(before, w.Bad(c))
			default:
				return nil
			}
		},
		Client: func(Case) func(string) int { return clients() },
		Close:  func() {},
	}, nil
}

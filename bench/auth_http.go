package bench

import (
	"fmt"
	"net/http"
	"sync"

	"github.com/go-apikey/apikey"
)

// Every guarded handler asks, as the subject has it, whose key it is, and
// answers by answerTo. Those of net/http are reached through variables: seen by
// the compiler, they would keep the copied request on the stack.
var (
	// protected is behind apikey.
	protected http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, ok := apikey.FromContext(r.Context())
		if !ok {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		w.WriteHeader(answerTo(p.Owner()))
	})

	// protectedByHand is behind what keeps the owner under ownerKey.
	protectedByHand http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		owner, _ := r.Context().Value(ownerKey{}).(string)
		w.WriteHeader(answerTo(owner))
	})
)

type ownerKey struct{}

// answerTo is the status of the answer: 204, or 500 where there is no owner. It
// is computed from what stands in the owner's name, so that it is not known
// before the name is.
func answerTo(owner string) int {
	if owner == "" {
		return http.StatusInternalServerError
	}
	return http.StatusNoContent + int(owner[0]>>7) // names are of ASCII
}

// after is the credential, once the last answer is known: the shift gives 0. A
// client waits for its answer before it sends again; here the processor would
// not, and fetch from memory for several requests at once.
func after(status int, credential string) string { return credential[status>>10:] }

// nullWriter is a ResponseWriter that costs nothing.
type nullWriter struct {
	header http.Header
	code   int
}

func (w *nullWriter) Header() http.Header { return w.header }

func (w *nullWriter) Write(b []byte) (int, error) {
	if w.code == 0 {
		w.code = http.StatusOK
	}
	return len(b), nil
}

func (w *nullWriter) WriteHeader(code int) {
	if w.code == 0 {
		w.code = code
	}
}

// sendTo returns what makes clients of h, which send the credential in a
// header. The request, the writer and their headers are each client's own and
// used again.
func sendTo(h http.Handler, header string) clientMaker {
	return func() func(string) int {
		r, err := http.NewRequest(http.MethodGet, "/", nil) //nolint:noctx // that of a server's request is as bare
		if err != nil {
			panic(err)
		}
		r.RemoteAddr = "192.0.2.1:50000"
		value := make([]string, 1)
		r.Header[header] = value
		w := &nullWriter{header: make(http.Header)}
		return func(credential string) int {
			value[0] = after(w.code, credential)
			w.code = 0
			clear(w.header)
			h.ServeHTTP(w, r)
			return w.code
		}
	}
}

// clientMaker makes a client for each goroutine: see [Running].
type clientMaker func() func(credential string) (status int)

// bearerSubject is a subject behind net/http that takes the tokens of w as
// Bearer tokens, and has no limits.
func bearerSubject(w *Workload, h http.Handler) *Running {
	return tokenSubject(w, "Bearer ", sendTo(h, authorization), nil)
}

const authorization = "Authorization"

// tokenSubject takes the tokens of w, with something before them. startSpent
// starts a second instance that admits each credential once; nil: there are no
// limits.
func tokenSubject(w *Workload, before string, clients clientMaker, startSpent func() (clientMaker, error)) *Running {
	spent := sync.OnceValue(func() clientMaker { return spend(startSpent, w, before) })
	return &Running{
		Requests: func(c Case) []string {
			switch {
			case c == Accepted:
				return each(before, w.Tokens)
			case c != Limited:
				return each(before, w.Bad(c))
			case startSpent == nil:
				return nil
			}
			spent()
			return each(before, w.Tokens)
		},
		Client: func(c Case) func(string) int {
			if c == Limited && startSpent != nil {
				return spent()()
			}
			return clients()
		},
		Close: func() {},
	}
}

// spend starts an instance and sends each credential until it is refused, which
// the first request or the second should be.
func spend(start func() (clientMaker, error), w *Workload, before string) clientMaker {
	clients, err := start()
	if err != nil {
		panic(err) // the first instance started
	}
	send := clients()
	for _, i := range w.Order() {
		for range 2 {
			if send(before+w.Tokens[i]) != http.StatusNoContent {
				break
			}
		}
	}
	return clients
}

// warm sends each credential once, in another order than that of use: what a
// subject makes of it on first use shall not lie in the order of use.
func warm(w *Workload, clients clientMaker, before string) error {
	send := clients()
	for _, i := range w.Order() {
		if status := send(before + w.Tokens[i]); status != http.StatusNoContent {
			return fmt.Errorf("bench: request %d was answered %d", i, status)
		}
	}
	return nil
}

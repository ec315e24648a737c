package bench

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"unsafe"
)

// TestSubjects: what is measured does its job. A peer that refuses the good, or
// admits what it must refuse, is fast for nothing.
func TestSubjects(t *testing.T) {
	for job, subjects := range map[string][]Subject{"auth": Auth(), "limits": Limits(), "databases": Databases()} {
		names := map[string]bool{}
		for _, s := range subjects {
			if names[s.Name] {
				t.Errorf("%s: two subjects are called %q", job, s.Name)
			}
			names[s.Name] = true
			t.Run(job+"/"+s.Name, func(t *testing.T) {
				for _, n := range []int{1, 23} {
					err := checkSubject(&s, NewWorkload(n))
					if errors.Is(err, ErrAbsent) && !required(s.Name) {
						t.Skip(err)
					}
					if err != nil {
						t.Errorf("%d keys: %v", n, err)
					}
				}
			})
		}
	}
}

// required reports whether APIKEY_REQUIRE names the server of a subject.
func required(subject string) bool {
	names := strings.Split(os.Getenv("APIKEY_REQUIRE"), ",")
	return strings.HasPrefix(subject, "PostgreSQL") && slices.Contains(names, "postgres") ||
		strings.HasPrefix(subject, "MariaDB") && slices.Contains(names, "mariadb")
}

// checkSubject has two goroutines at once send every request of every case,
// and after each the first good one.
func checkSubject(s *Subject, w *Workload) error {
	running, err := s.Start(w)
	if err != nil {
		return err
	}
	defer running.Close()
	for _, c := range Cases() {
		requests := running.Requests(c)
		switch {
		case requests == nil && c == Accepted:
			return errors.New("it has no requests that are accepted")
		case requests == nil:
			continue
		case len(requests) != w.Keys:
			return fmt.Errorf("%s: %d requests for %d keys", c, len(requests), w.Keys)
		case !contiguous(requests):
			return fmt.Errorf("%s: requests do not lie one after the other", c)
		}
		var senders sync.WaitGroup
		var errs [2]error
		for g := range errs {
			senders.Go(func() { errs[g] = checkCase(running, c, requests) })
		}
		senders.Wait()
		if err := errors.Join(errs[:]...); err != nil {
			return fmt.Errorf("%s: %w", c, err)
		}
	}
	return nil
}

func checkCase(running *Running, c Case, requests []string) error {
	send, good := running.Client(c), running.Requests(Accepted)
	for i, request := range requests {
		if status := send(request); !slices.Contains(statuses[c], status) {
			return fmt.Errorf("request %d was answered %d, want one of %d", i, status, statuses[c])
		}
		if c == Limited {
			continue
		}
		if status := send(good[i]); !slices.Contains(statuses[Accepted], status) {
			return fmt.Errorf("a good request after request %d was answered %d", i, status)
		}
	}
	return nil
}

// statuses are the right answers.
var statuses = map[Case][]int{
	Accepted:    {http.StatusNoContent},
	WrongSecret: {http.StatusUnauthorized, http.StatusForbidden},
	Unknown:     {http.StatusUnauthorized, http.StatusForbidden},
	Malformed:   {http.StatusUnauthorized, http.StatusForbidden},
	Limited:     {http.StatusTooManyRequests},
}

// contiguous reports whether strings lie one after the other in memory.
func contiguous(strs []string) bool {
	for i := 1; i < len(strs); i++ {
		if uintptr(unsafe.Pointer(unsafe.StringData(strs[i]))) != uintptr(unsafe.Pointer(unsafe.StringData(strs[i-1])))+uintptr(len(strs[i-1])) {
			return false
		}
	}
	return true
}

// TestCheckSubject: the check finds a subject that does not do its job.
func TestCheckSubject(t *testing.T) {
	for _, tt := range []struct {
		name  string
		check func(token string, w *Workload) int
		more  func(r *Running)
		want  string // in the error; "": none
	}{
		{name: "does its job"},
		{name: "admits all", check: func(string, *Workload) int { return 204 }, want: "wrong secret: request 0 was answered 204"},
		{name: "refuses all", check: func(string, *Workload) int { return 401 }, want: "accepted: request 0 was answered 401"},
		{name: "answers nothing", check: func(string, *Workload) int { return 0 }, want: "accepted: request 0 was answered 0"},
		{name: "fails at what is bad", check: func(token string, w *Workload) int {
			if slices.Contains(w.Tokens, token) {
				return 204
			}
			return 500
		}, want: "wrong secret: request 0 was answered 500"},
		{name: "looks at the ID only", check: func(token string, w *Workload) int {
			if slices.ContainsFunc(w.Tokens, func(t string) bool { return t[:idEnd] == token[:idEnd] }) {
				return 204
			}
			return 401
		}, want: "wrong secret: request 0 was answered 204"},
		{name: "looks at the shape only", check: func(token string, _ *Workload) int {
			if strings.Contains(token, "-") {
				return 401
			}
			return 204
		}, want: "wrong secret: request 0 was answered 204"},
		{name: "admits one of them", check: func(token string, w *Workload) int {
			if slices.Contains(w.Tokens, token) || token == w.Bad(Unknown)[4] {
				return 204
			}
			return 401
		}, want: "unknown: request 4 was answered 204"},
		{name: "refuses one of them", check: func(token string, w *Workload) int {
			if slices.Contains(w.Tokens[:4], token) {
				return 204
			}
			return 401
		}, want: "accepted: request 4 was answered 401"},
		{name: "gives its first answer for ever", more: func(r *Running) {
			clients := r.Client
			r.Client = func(c Case) func(string) int {
				send, first := clients(c), 0
				return func(credential string) int {
					if first == 0 {
						first = send(credential)
					}
					return first
				}
			}
		}, want: "wrong secret: a good request after request 0 was answered 401"},
		{name: "admits what is over its limit", more: func(r *Running) {
			requests := r.Requests
			r.Requests = func(Case) []string { return requests(Accepted) }
			clients := r.Client
			r.Client = func(c Case) func(string) int {
				if c == Accepted || c == Limited {
					return clients(c)
				}
				send, n := clients(c), 0
				return func(credential string) int {
					if n++; n%2 == 1 {
						return 401
					}
					return send(credential)
				}
			}
		}, want: "rate-limited: request 0 was answered 204"},
		{name: "has its requests all over the memory", more: func(r *Running) {
			requests := r.Requests
			r.Requests = func(c Case) []string {
				apart := slices.Clone(requests(c))
				slices.Reverse(apart)
				return apart
			}
		}, want: "accepted: requests do not lie one after the other"},
		{name: "has fewer requests than keys", more: func(r *Running) {
			requests := r.Requests
			r.Requests = func(c Case) []string { return requests(c)[:4] }
		}, want: "accepted: 4 requests for 5 keys"},
		{name: "has no requests", more: func(r *Running) {
			r.Requests = func(Case) []string { return nil }
		}, want: "it has no requests that are accepted"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			check := tt.check
			if check == nil {
				check = func(token string, w *Workload) int {
					if slices.Contains(w.Tokens, token) {
						return 204
					}
					return 401
				}
			}
			err := checkSubject(&Subject{Start: func(w *Workload) (*Running, error) {
				r := bearerSubject(w, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
					rw.WriteHeader(check(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), w))
				}))
				if tt.more != nil {
					tt.more(r)
				}
				return r, nil
			}}, NewWorkload(5))
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("checkSubject = %v, want %q", err, tt.want)
			}
		})
	}
}

// TestWorkload: tokens are such as apikey issues, bad ones bad in the way that
// they say, and each run has the same ones.
func TestWorkload(t *testing.T) {
	w := NewWorkload(100)
	if again := NewWorkload(100); !slices.Equal(w.Tokens, again.Tokens) {
		t.Error("another run has other tokens")
	}
	for i, token := range w.Tokens {
		wrong, unknown, malformed := w.Bad(WrongSecret)[i], w.Bad(Unknown)[i], w.Bad(Malformed)[i]
		for _, tt := range []struct {
			what, token   string
			known, formed bool
		}{{"token", token, true, true}, {"wrong secret", wrong, true, true}, {"unknown", unknown, false, true}, {"malformed", malformed, true, false}} {
			if len(tt.token) != tokenLen || wellFormed([]byte(tt.token)) != tt.formed || (tt.token[:idEnd] == token[:idEnd]) != tt.known {
				t.Errorf("%s %d is not one", tt.what, i)
			}
		}
		if wrong == token || malformed == token {
			t.Errorf("bad token %d is good", i)
		}
	}
	owners := map[string]int{}
	for i := range w.Tokens {
		owners[w.Owner(i)]++
	}
	for owner, n := range owners {
		if n != 10 {
			t.Errorf("%s has %d keys, want 10", owner, n)
		}
	}
	order := slices.Sorted(slices.Values(w.Order()))
	for i, at := range order {
		if i != at {
			t.Fatalf("Order has %d at %d", at, i)
		}
	}
}

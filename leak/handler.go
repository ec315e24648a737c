package leak

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"regexp"
	"sync"
	"sync/atomic"

	"github.com/go-apikey/apikey"
)

// Handler answers GitHub's reports. It is safe for concurrent use.
//
// The body is believed only after its signature was verified, and not parsed
// before. The answer is
//
//	200  every token was looked up and the policy carried out: a list of labels
//	400  signed, but no list of tokens
//	401  no signature, one by an unknown key, or a wrong one
//	405  not POST
//	413  too large: see ErrTooLarge
//	503  the public keys, the store or the policy failed, or time ran out:
//	     what could be done was done, and the report is to be sent again
//
// Reporting again is harmless: what was done is not done twice.
//
// A label is true_positive if the Manager knows the token, live or not, and
// else false_positive. Of a key's tokens the last two are known, and of a
// deleted key none. A token is named by its SHA-256 in lower-case hexadecimal.
type Handler struct {
	keys     *apikey.Manager
	signers  KeyFunc
	cfg      Config
	patterns []*regexp.Regexp // of the Manager's formats
}

// ServeHTTP is [net/http.Handler].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "only POST", http.StatusMethodNotAllowed)
		return
	}
	// That GitHub hangs up keeps no key alive.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), h.cfg.Timeout)
	defer cancel()
	body, err := h.signedBody(ctx, w, r)
	var found []match
	if err == nil {
		found, err = parse(body)
	}
	if err != nil {
		h.refuse(ctx, w, err)
		return
	}
	finds, tooMany := h.collect(found)
	if !h.handleAll(ctx, finds) {
		h.answer(w, http.StatusServiceUnavailable, "not all tokens could be handled; report them again")
		return
	}
	if tooMany {
		h.refuse(ctx, w, ErrTooLarge)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(h.labels(finds, found)) // GitHub is gone: nobody to tell
}

// refuse answers a request of which nothing, or not all, was done.
func (h *Handler) refuse(ctx context.Context, w http.ResponseWriter, err error) {
	h.emit(ctx, Event{Err: err})
	switch {
	case errors.Is(err, ErrUnsigned), errors.Is(err, ErrUnknownKey), errors.Is(err, ErrSignature):
		h.answer(w, http.StatusUnauthorized, "the signature is missing or wrong")
	case errors.Is(err, ErrTooLarge):
		h.answer(w, http.StatusRequestEntityTooLarge, "the report is too large")
	case errors.Is(err, ErrMalformed):
		h.answer(w, http.StatusBadRequest, "the report is malformed")
	default:
		h.answer(w, http.StatusServiceUnavailable, "the signature cannot be verified now; report again")
	}
}

func (h *Handler) answer(w http.ResponseWriter, status int, text string) {
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "60") // by then the public keys may be fetched again
	}
	http.Error(w, text, status)
}

// A match is one element of the body.
type match struct {
	Token  string `json:"token"`
	Type   string `json:"type"`
	URL    string `json:"url"`
	Source string `json:"source"`
}

// parse reads a body that was signed.
func parse(body []byte) ([]match, error) {
	var found []match
	if err := json.Unmarshal(body, &found); err != nil || found == nil {
		return nil, ErrMalformed // and not err, which may quote the body
	}
	return found, nil
}

// A find is one token, wherever it was found, and what became of it.
type find struct {
	token  string
	report Report
	ours   bool
}

// collect brings together what was found of each token, in the order of the
// first. It leaves out tokens beyond MaxTokens, and says so.
func (h *Handler) collect(found []match) (finds []*find, tooMany bool) {
	byToken := make(map[string]*find)
	for _, m := range found {
		f := byToken[m.Token]
		if f == nil {
			if len(finds) == MaxTokens {
				tooMany = true
				continue
			}
			f = &find{token: m.Token, report: Report{Type: h.scrub(m.Type)}}
			byToken[m.Token] = f
			finds = append(finds, f)
		}
		f.report.Places = append(f.report.Places, Place{
			URL:    h.scrub(m.URL, m.Token),
			Source: h.scrub(m.Source, m.Token),
		})
	}
	return finds, tooMany
}

// workers is how many tokens of a request are handled at a time: enough to get
// through MaxTokens in Config.Timeout with a store that needs 10 ms for each,
// few enough to leave a pool of database connections to others.
const workers = 8

// handleAll handles every find, and reports whether all of them could be.
func (h *Handler) handleAll(ctx context.Context, finds []*find) bool {
	var failed atomic.Bool
	next := make(chan *find)
	var wg sync.WaitGroup
	for range min(workers, len(finds)) {
		wg.Go(func() {
			for f := range next {
				action, err := h.handle(ctx, f)
				h.emit(ctx, Event{Report: f.report, Action: action, Err: err})
				if err != nil {
					failed.Store(true)
				}
			}
		})
	}
	for _, f := range finds {
		next <- f
	}
	close(next)
	wg.Wait()
	return !failed.Load()
}

// emit tells the host, whose panic must not keep the next token alive.
func (h *Handler) emit(ctx context.Context, e Event) {
	if h.cfg.OnReport == nil {
		return
	}
	defer func() { _ = recover() }()
	h.cfg.OnReport(ctx, e)
}

// A label is what GitHub is told of one token.
type label struct {
	TokenHash string `json:"token_hash"`
	TokenType string `json:"token_type"`
	Label     string `json:"label"`
}

// labels has one for each token and type that was found.
func (h *Handler) labels(finds []*find, found []match) []label {
	ours := make(map[string]bool, len(finds))
	for _, f := range finds {
		ours[f.token] = f.ours
	}
	type named struct{ token, typ string }
	seen := make(map[named]bool, len(found))
	labels := []label{}
	for _, m := range found {
		if seen[named{m.Token, m.Type}] {
			continue
		}
		seen[named{m.Token, m.Type}] = true
		sum := sha256.Sum256([]byte(m.Token))
		l := label{TokenHash: hex.EncodeToString(sum[:]), TokenType: h.scrub(m.Type), Label: "false_positive"}
		if ours[m.Token] {
			l.Label = "true_positive"
		}
		labels = append(labels, l)
	}
	return labels
}

// readBody reads at most MaxBody bytes.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return nil, ErrTooLarge
	}
	if err != nil {
		return nil, ErrMalformed // cut short
	}
	return body, nil
}

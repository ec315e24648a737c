// Package leak ends API keys that were published on GitHub. [New] makes the
// endpoint that GitHub's secret-scanning partner programme calls when a token
// of yours turns up in a public place: it makes sure that it is GitHub who
// calls, looks each token up, does what the host's policy says, and tells
// GitHub which of them were real.
//
// What the programme sends and how it signs is described at
// https://docs.github.com/en/code-security/secret-scanning/secret-scanning-partnership-program/secret-scanning-partner-program.
//
// No token is in an answer, an event, an error or what the policy sees.
package leak

import (
	"context"
	"errors"
	"regexp"
	"time"

	"github.com/go-apikey/apikey"
)

// ActorID is the actor of every change that a [Handler] makes, as the history
// of the key names it.
const ActorID = "github-secret-scanning"

// Bounds of a request. A token of this module has 34 bytes or more, and with
// what is around it a mebibyte holds about 8,000 of them.
const (
	MaxBody   = 1 << 20 // bytes
	MaxTokens = 10_000  // different ones
)

// Action is what is done with a key one of whose tokens leaked.
type Action string

// The actions.
const (
	// Revoke ends the key with all its tokens, for ever.
	Revoke Action = "revoke"
	// Hold stops the key until an operator calls Release.
	Hold Action = "hold"
	// Disable stops the key until Enable, which its owner may call too, and
	// then the leaked token works again: tell them to rotate first.
	Disable Action = "disable"
	// EndSecret ends the leaked token and keeps the key.
	//
	// If the key's other token is the newer one, nothing else changes. If the
	// leaked token is the newest there is none to take its place, so the key is
	// rotated without grace: every token that it had ends, and the new one goes
	// to Config.Deliver. Without Deliver nobody ever sees it, and the owner
	// rotates the key again where they always do. A key that cannot be rotated,
	// because the plan or its format forbids it, is held instead.
	EndSecret Action = "end_secret"
	// Observe changes nothing: Config.OnReport is called, and that is all.
	Observe Action = "observe"
)

// Report is one token that was found, without the token.
type Report struct {
	Key    *apikey.Key        // whose token it is, as it was found; nil: it is none of ours, which a Policy never sees
	State  apikey.SecretState // of the token; a Policy only sees live ones
	Type   string             // the name under which the pattern was handed in
	Places []Place            // where it was found: at least one
}

// Place is where a token was found. Both are GitHub's words and may be empty;
// a token in them is replaced by "[token]".
type Place struct {
	URL    string
	Source string // "commit", "content", "issue_comment", "npm", …
}

// Event says what became of a token, or why a whole request was refused.
type Event struct {
	Report Report // the zero Report: Err refused the request
	Action Action // what was done; "": nothing, for the token is none of ours, has ended already, or Err kept it from being done
	Err    error  // nil: all is well
}

// What is wrong with a request, for Event.Err. Those of a [KeyFunc] and of the
// Manager are passed on as they are.
var (
	// ErrUnsigned: a header is missing, repeated, or too long. 401.
	ErrUnsigned = errors.New("apikey: the leak report has no signature, or more than one")
	// ErrUnknownKey: GitHub has no public key of this identifier. 401.
	ErrUnknownKey = errors.New("apikey: the leak report is signed by a key that GitHub does not have")
	// ErrSignature: the signature is not one of this body by this key. 401.
	ErrSignature = errors.New("apikey: the signature of the leak report is wrong")
	// ErrTooLarge: more than MaxBody bytes, of which none was looked at, or
	// more than MaxTokens tokens, of which the first MaxTokens were handled. 413.
	ErrTooLarge = errors.New("apikey: the leak report is too large")
	// ErrMalformed: the body is signed but is no list of tokens. 400.
	ErrMalformed = errors.New("apikey: the leak report is malformed")
	// ErrPolicy: the policy panicked or answered with no Action. 503.
	ErrPolicy = errors.New("apikey: the policy for leaked tokens failed")
)

// Config is what a [Handler] does. Its functions are called concurrently, for
// the tokens of one request too.
type Config struct {
	// Policy decides what is done with the key of a live token. It is not asked
	// about a token that was rotated out, which never harms the key, nor about
	// a key that is revoked. After an error nothing is done and GitHub is asked
	// to report again. nil: Revoke, always.
	Policy func(ctx context.Context, r Report) (Action, error)

	// OnReport is told of every token and of every request that is refused. It
	// must return at once; a panic in it is swallowed. If GitHub reports again
	// after a failure, it is told again. nil: nobody is told.
	OnReport func(ctx context.Context, e Event)

	// Deliver gets the new token after [EndSecret] of the newest one, to bring
	// it to the key's owner. nil: the token is dropped.
	Deliver func(ctx context.Context, i *apikey.Issued)

	// Timeout bounds the work for one request, its reading excepted, which is
	// http.Server.ReadTimeout's. What is not done by then is answered 503.
	// 0: 25 s, for GitHub waits 30 s.
	Timeout time.Duration
}

// New is the endpoint for GitHub's reports of m's tokens. A nil cfg is the zero
// Config. It panics if m or keys is nil; [GitHubKeys] makes the usual keys.
func New(m *apikey.Manager, keys KeyFunc, cfg *Config) *Handler {
	if m == nil || keys == nil {
		panic("leak.New: the Manager and the KeyFunc must not be nil")
	}
	h := &Handler{keys: m, signers: keys}
	if cfg != nil {
		h.cfg = *cfg
	}
	if h.cfg.Policy == nil {
		h.cfg.Policy = func(context.Context, Report) (Action, error) { return Revoke, nil }
	}
	if h.cfg.Timeout <= 0 {
		h.cfg.Timeout = 25 * time.Second
	}
	for _, f := range m.Formats() {
		h.patterns = append(h.patterns, regexp.MustCompile(f.Regexp()))
	}
	return h
}

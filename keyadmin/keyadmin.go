package keyadmin

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/go-apikey/apikey"
)

// Config is how a host mounts the handler.
type Config struct {
	// Identify names the person of this request and what they may do; it is
	// asked on every request, with the request as it came. Required. An error
	// is answered 401, and its text is not shown; a nil Session is 403. It must
	// be safe for concurrent use.
	Identify func(*http.Request) (*Session, error)

	// Title is of the page. "": "API keys".
	Title string

	// LearnMore is where the page's "Learn more" leads: an http or https URL,
	// or a path of the host. "": no such link.
	LearnMore string

	// Catalog is that of the Manager's Config, for GET catalog and for presets.
	// nil: the Manager has none.
	Catalog *apikey.Catalog

	// Plan is that of the Manager's Config, for GET catalog. nil: the Manager
	// has none.
	Plan func(ctx context.Context, owner string) (apikey.Plan, error)

	// Now is the Manager's clock. nil: time.Now.
	Now func() time.Time

	_ [0]func() // fields are named in literals
}

// Session is a person, as far as managing keys goes.
type Session struct {
	Actor     apikey.Actor // who, and the most that a key made by them may hold; an operator (the host's own staff) may also hold keys and set limits and metadata
	Owner     string       // the workspace or account looked at now
	Owners    []OwnerInfo  // what they may switch to. An Owner that is not here is 403
	Abilities Abilities    // the zero Abilities allow nothing
}

// OwnerInfo is a workspace or account that a person may look at.
type OwnerInfo struct {
	ID   string // as in [apikey.Key]
	Name string // "": the ID is shown
}

// Abilities are what a person may do with an owner's keys. The Actor's Ceiling
// bounds it besides.
type Abilities struct {
	See    bool // every GET
	Create bool // POST keys
	Change bool // PATCH, enable, rotate, end-rotation, release
	Revoke bool // disable, revoke, DELETE, hold
}

// New makes the handler for the keys of m. A field of cfg that is missing or
// malformed is an [*apikey.InvalidError]. The Config is copied.
func New(m *apikey.Manager, cfg *Config) (http.Handler, error) {
	h := &handler{manager: m}
	var faults []apikey.FieldError
	if m == nil {
		faults = append(faults, apikey.FieldError{Field: "m", Message: "must not be nil"})
	}
	if cfg != nil {
		h.cfg = *cfg
	}
	if h.cfg.Identify == nil {
		faults = append(faults, apikey.FieldError{Field: "Config.Identify", Message: "must not be nil"})
	}
	if u, err := url.Parse(h.cfg.LearnMore); err != nil || u.Scheme != "" && u.Scheme != "http" && u.Scheme != "https" {
		faults = append(faults, apikey.FieldError{Field: "Config.LearnMore", Message: "must be an http or https URL, or a path"})
	}
	if faults != nil {
		return nil, &apikey.InvalidError{Fields: faults}
	}
	if h.cfg.Title == "" {
		h.cfg.Title = "API keys"
	}
	if h.cfg.Now == nil {
		h.cfg.Now = time.Now
	}
	h.api = newAPI(h)
	return h, nil
}

package keyadmin

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
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

	// Accent is the one colour of the page, as "#rrggbb". Where text of it would
	// not be legible (WCAG 2.2, 1.4.3), by day or by night, a darker or lighter
	// one is used there. "": a blue.
	Accent string

	// Links lead back into the host, from the head of the page. nil: none.
	Links []Link

	// SignIn is where the page leads who is nobody: a URL as LearnMore. "": no
	// such link.
	SignIn string

	// SwitchOwner has Identify give another Owner from the next request on: it
	// keeps the choice, in a cookie or in the host's session, and answers with a
	// redirect. It is called for a form of the page and for one of the person's
	// Owners only. nil: the page offers no switch.
	SwitchOwner func(w http.ResponseWriter, r *http.Request, owner string)

	// RotateAfter is how old a token may be before the page says that it is due
	// for rotation. 0: 90 days; at least a day.
	RotateAfter time.Duration

	_ [0]func() // fields are named in literals
}

// Link is one in the head of the page.
type Link struct {
	Name string
	URL  string // http, https, or a path of the host
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
	faults = append(faults, h.cfg.faults()...)
	if faults != nil {
		return nil, &apikey.InvalidError{Fields: faults}
	}
	if h.cfg.Title == "" {
		h.cfg.Title = "API keys"
	}
	if h.cfg.RotateAfter == 0 {
		h.cfg.RotateAfter = 90 * 24 * time.Hour
	}
	h.cfg.Links = slices.Clone(h.cfg.Links)
	h.known = m.Catalog()
	h.api = newAPI(h)
	h.ui = newUI(h.api)
	return h, nil
}

// faults are what is wrong with how the page is to look.
func (cfg *Config) faults() []apikey.FieldError {
	var faults []apikey.FieldError
	link := func(field, to string) {
		if u, err := url.Parse(to); err != nil || u.Scheme != "" && u.Scheme != "http" && u.Scheme != "https" {
			faults = append(faults, apikey.FieldError{Field: field, Message: "must be an http or https URL, or a path"})
		}
	}
	link("Config.LearnMore", cfg.LearnMore)
	link("Config.SignIn", cfg.SignIn)
	for i, l := range cfg.Links {
		link(fmt.Sprintf("Config.Links[%d].URL", i), l.URL)
		if l.Name == "" || l.URL == "" {
			faults = append(faults, apikey.FieldError{Field: fmt.Sprintf("Config.Links[%d]", i), Message: "must have a Name and a URL"})
		}
	}
	if _, ok := parseColour(cfg.Accent); !ok && cfg.Accent != "" {
		faults = append(faults, apikey.FieldError{Field: "Config.Accent", Message: "must be a colour as #rrggbb"})
	}
	if cfg.RotateAfter != 0 && cfg.RotateAfter < 24*time.Hour {
		faults = append(faults, apikey.FieldError{Field: "Config.RotateAfter", Message: "must be 0, or at least a day"})
	}
	return faults
}

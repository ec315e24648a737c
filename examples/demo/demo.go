// Package demo is what the four demo services share: who is asking, which plan
// they have, where keys are kept, how the program starts and stops. Nothing of
// it is needed to use the library: in a service of yours the login, the billing
// and the database that it has take its place.
package demo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/keyadmin"
)

// Service is one demo: how it configures the library, and what a real service
// would have in its database.
type Service struct {
	Title  string        // of the dashboard
	Config apikey.Config // Plan, PlanTTL and FlushInterval are the demo's
	Plans  []apikey.Plan
	Owners []Owner
	People []Person

	// Routes adds the API that the keys guard.
	Routes func(keys *apikey.Manager, mux *http.ServeMux)

	// Try is what to give to curl for a call of the API with a key's $TOKEN.
	// {base} in it is the address.
	Try string

	// Seed puts into the store what it begins with, and is called at every
	// start; what it returns is printed. nil: nothing.
	Seed func(ctx context.Context, keys *apikey.Manager) (say string, err error)
}

// Owner is a workspace or account and the Name of the plan that it begins with.
type Owner struct{ ID, Name, Plan string }

// Person is somebody who manages keys.
type Person struct {
	ID       string
	Owners   []string           // of which they are a member; the first is looked at unless they say otherwise
	Ceiling  apikey.Permissions // the most that a key made by them may hold; nil: everything
	MayLook  bool               // and no more
	operator bool
}

// everybody is People and, in every demo, support: an operator, who may look at
// every owner.
func (s *Service) everybody() []Person {
	support := Person{ID: "support", operator: true}
	for _, o := range s.Owners {
		support.Owners = append(support.Owners, o.ID)
	}
	return append(slices.Clone(s.People), support)
}

// service is a Service that runs.
type service struct {
	*Service
	keys   *apikey.Manager
	people map[string]Person // by ID

	mu     sync.Mutex
	planOf map[string]string // by owner
}

var errUnknown = errors.New("nobody of this name is known here")

// identify is the demo's login: people are whom they say they are. It fulfils
// keyadmin.Config.Identify.
func (s *service) identify(r *http.Request) (*keyadmin.Session, error) {
	p, ok := s.people[said(r, "X-Demo-User", userCookie)]
	if !ok {
		return nil, errUnknown
	}
	session := &keyadmin.Session{
		Actor:     apikey.Actor{ID: p.ID, Ceiling: p.Ceiling},
		Owner:     cmp.Or(said(r, "X-Demo-Owner", ownerCookie), p.Owners[0]),
		Abilities: keyadmin.Abilities{See: true, Create: !p.MayLook, Change: !p.MayLook, Revoke: !p.MayLook},
	}
	switch {
	case p.operator:
		session.Actor = apikey.Operator(p.ID)
	case p.Ceiling == nil:
		session.Actor.Ceiling = apikey.Permissions{"*"}
	}
	for _, id := range p.Owners {
		session.Owners = append(session.Owners, keyadmin.OwnerInfo{ID: id, Name: s.nameOf(id)})
	}
	return session, nil
}

func (s *service) nameOf(owner string) string {
	for _, o := range s.Owners {
		if o.ID == owner {
			return o.Name
		}
	}
	return ""
}

// said is a header of a request, else a cookie, else "".
func said(r *http.Request, header, cookie string) string {
	if v := r.Header.Get(header); v != "" {
		return v
	}
	if c, err := r.Cookie(cookie); err == nil {
		return c.Value
	}
	return ""
}

// plan is what a billing system would answer. It fulfils apikey.Config.Plan.
func (s *service) plan(_ context.Context, owner string) (apikey.Plan, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name, ok := s.planOf[owner]
	if !ok {
		return apikey.Plan{}, fmt.Errorf("no account %q", owner)
	}
	return s.planNamed(name), nil
}

// planNamed is the zero Plan, which is an error where it is used, if there is
// none of this name.
func (s *Service) planNamed(name string) apikey.Plan {
	for _, p := range s.Plans {
		if p.Name == name {
			return p
		}
	}
	return apikey.Plan{}
}

// setPlan is POST /demo/plan.
func (s *service) setPlan(w http.ResponseWriter, r *http.Request) {
	var in struct{ Owner, Plan string }
	if !Read(w, r, &in, Problem) {
		return
	}
	s.mu.Lock()
	_, known := s.planOf[in.Owner]
	valid := s.planNamed(in.Plan).Name != ""
	if known && valid {
		s.planOf[in.Owner] = in.Plan
	}
	s.mu.Unlock()
	switch {
	case !known:
		Problem(w, http.StatusNotFound, "not_found", "There is no such owner.")
	case !valid:
		Problem(w, http.StatusUnprocessableEntity, "invalid", "There is no such plan.")
	default:
		s.keys.ForgetPlan(in.Owner) // on this node; others notice within PlanTTL
		Answer(w, http.StatusOK, map[string]string{"owner": in.Owner, "plan": in.Plan})
	}
}

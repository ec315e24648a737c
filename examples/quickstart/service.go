package main

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/memstore"
)

// account is the customer whose keys the steps use.
const account = "acct_42"

type service struct {
	keys  *apikey.Manager
	admin *apikey.Issued // a key of the service's own staff
	first *apikey.Issued // the customer's
}

// newService makes the keys: a Manager, and two keys to begin with.
func newService(ctx context.Context) (*service, error) {
	keys, err := apikey.New(memstore.New(), &apikey.Config{
		Formats: []apikey.Format{
			{Prefix: "demo_live_", Environment: "live"},
			{Prefix: "demo_test_", Environment: "test"},
		},
		Plan: plan,
		HTTP: apikey.HTTPConfig{Realm: "quickstart"},
	})
	if err != nil {
		return nil, err
	}
	s := &service{keys: keys}
	s.admin, err = keys.Keyring("staff", apikey.Operator("quickstart")).Create(ctx, apikey.KeyParams{
		Name: "Admin", Permissions: apikey.Permissions{"keys:manage"},
	})
	if err != nil {
		return nil, err
	}
	s.first, err = s.issue(ctx, "quickstart", "live")
	return s, err
}

// plan says what an owner may do. A real one comes from the host's database.
func plan(_ context.Context, owner string) (apikey.Plan, error) {
	if owner == account {
		return apikey.Plan{Name: "demo", MaxKeys: 5, KeyLimits: []apikey.Limit{apikey.PerHour(10)}}, nil
	}
	return apikey.Plan{Name: "staff", MaxKeys: apikey.NoCap}, nil
}

func (s *service) issue(ctx context.Context, actor, environment string) (*apikey.Issued, error) {
	return s.keys.Keyring(account, apikey.Operator(actor)).Create(ctx, apikey.KeyParams{
		Name: "Reports", Environment: environment, Permissions: apikey.Permissions{"reports:read", "payouts:create"},
	})
}

// routes is the API. Each route says what it asks of a key.
func (s *service) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /reports", s.keys.Require("reports:read")(text("reports of")))
	mux.Handle("POST /reports", s.keys.Require("reports:create")(text("a new report of")))
	mux.Handle("GET /reports/export", s.keys.Guard(apikey.Policy{
		All: []apikey.Permission{"reports:read"}, Cost: 5, // as much as five calls
	})(text("every report of")))
	mux.Handle("POST /payouts", s.keys.Guard(apikey.Policy{
		All: []apikey.Permission{"payouts:create"}, Environment: "live", // no money moves with a test key
	})(text("a payout of")))

	manage := s.keys.Require("keys:manage")
	mux.Handle("POST /admin/keys", manage(http.HandlerFunc(s.create)))
	mux.Handle("POST /admin/keys/{id}/rotate", manage(http.HandlerFunc(s.rotate)))
	mux.Handle("POST /admin/keys/{id}/end-rotation", manage(http.HandlerFunc(s.endRotation)))
	mux.Handle("POST /admin/keys/{id}/revoke", manage(http.HandlerFunc(s.revoke)))
	return mux
}

// text is a handler that says for whom it works: the owner of the key.
func text(what string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, _ := apikey.FromContext(r.Context()) // always there: every route is guarded
		answer(w, http.StatusOK, what+" "+caller.Owner())
	})
}

func (s *service) create(w http.ResponseWriter, r *http.Request) {
	caller, _ := apikey.FromContext(r.Context())
	issued, err := s.issue(r.Context(), caller.KeyID(), r.URL.Query().Get("environment"))
	if err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store") // the one time that the token is seen
	answer(w, http.StatusCreated, issued.Token.Reveal())
}

func (s *service) rotate(w http.ResponseWriter, r *http.Request) {
	issued, err := s.keyring(r).Rotate(r.Context(), r.PathValue("id"), apikey.RotateParams{Grace: 24 * time.Hour})
	if err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	answer(w, http.StatusCreated, issued.Token.Reveal())
}

func (s *service) endRotation(w http.ResponseWriter, r *http.Request) {
	if _, err := s.keyring(r).EndRotation(r.Context(), r.PathValue("id")); err != nil {
		fail(w, err)
		return
	}
	answer(w, http.StatusOK, "the earlier token has ended")
}

func (s *service) revoke(w http.ResponseWriter, r *http.Request) {
	if _, err := s.keyring(r).Revoke(r.Context(), r.PathValue("id")); err != nil {
		fail(w, err)
		return
	}
	answer(w, http.StatusOK, "the key is revoked")
}

// keyring is the customer's keys as the caller may handle them.
func (s *service) keyring(r *http.Request) *apikey.Keyring {
	caller, _ := apikey.FromContext(r.Context())
	return s.keys.Keyring(account, apikey.Operator(caller.KeyID()))
}

func answer(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body+"\n") // to a client that may be gone
}

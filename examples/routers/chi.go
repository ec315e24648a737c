package main

import (
	"net/http"

	"github.com/go-chi/chi/v5"
)

// withChi needs no adapter: chi takes net/http's middleware. A guard that reads
// a parameter of the path stands at its route, by With; by Use it would run
// before there is one, and refuse.
func withChi(s *service) http.Handler {
	r := chi.NewRouter()
	r.With(s.keys.Require("reports:read")).Get("/reports", s.list)
	r.With(s.keys.Require("reports:create")).Post("/reports", s.create)
	r.With(s.keys.Guard(ownReports)).Get("/accounts/{account}/reports", s.list)
	r.With(s.keys.Require("reports:read")).Get("/events", s.events)
	return r
}

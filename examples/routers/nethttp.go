package main

import (
	"net/http"

	"github.com/go-apikey/apikey"
)

// netHTTP needs no adapter.
func netHTTP(s *service) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /reports", s.keys.Require("reports:read")(http.HandlerFunc(s.list)))
	mux.Handle("POST /reports", s.keys.Require("reports:create")(http.HandlerFunc(s.create)))
	mux.Handle("GET /accounts/{account}/reports", s.keys.Guard(ownReports)(http.HandlerFunc(s.list)))
	mux.Handle("GET /events", s.keys.Require("reports:read")(http.HandlerFunc(s.events)))
	return mux
}

func (s *service) list(w http.ResponseWriter, r *http.Request) {
	caller, _ := apikey.FromContext(r.Context())
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(reports(caller.Owner()))
}

func (s *service) create(w http.ResponseWriter, r *http.Request) {
	caller, _ := apikey.FromContext(r.Context())
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	_, _ = w.Write(created(caller.Owner()))
}

func (s *service) events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	s.follow(r.Context(), func(line []byte) error {
		if _, err := w.Write(line); err != nil {
			return err
		}
		return http.NewResponseController(w).Flush()
	})
}

package main

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/go-apikey/apikey"
)

// madeKey is the answer to who makes a key: the one time that its token is seen.
type madeKey struct{ ID, Token string }

// routes is the API of a node.
func (set *settings) routes(keys *apikey.Manager) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /jobs", keys.Require("jobs:read")(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, _ := apikey.FromContext(r.Context())
		_, _ = w.Write([]byte("done for " + caller.Owner() + "\n"))
	})))
	manage := func(pattern string, f func(r *http.Request, ring *apikey.Keyring) (any, error)) {
		mux.Handle(pattern, keys.Require("keys:manage")(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			caller, _ := apikey.FromContext(r.Context())
			answer, err := f(r, keys.Keyring(r.URL.Query().Get("owner"), apikey.Operator(caller.KeyID())))
			if err != nil {
				fail(w, err)
				return
			}
			w.Header().Set("Cache-Control", "no-store")
			_ = json.NewEncoder(w).Encode(answer) // to a client that may be gone
		})))
	}
	manage("POST /keys", func(r *http.Request, ring *apikey.Keyring) (any, error) {
		issued, err := ring.Create(r.Context(), apikey.KeyParams{Name: "Work", Permissions: apikey.Permissions{"jobs:read"}})
		if err != nil {
			return nil, err
		}
		return madeKey{issued.Key.ID, issued.Token.Reveal()}, nil
	})
	manage("GET /keys/{id}", func(r *http.Request, ring *apikey.Keyring) (any, error) {
		return ring.Get(r.Context(), r.PathValue("id"))
	})
	manage("POST /keys/{id}/revoke", func(r *http.Request, ring *apikey.Keyring) (any, error) {
		return ring.Revoke(r.Context(), r.PathValue("id"))
	})
	manage("POST /flush", func(r *http.Request, _ *apikey.Keyring) (any, error) {
		return nil, keys.Flush(r.Context())
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Node", set.Name)
		mux.ServeHTTP(w, r)
	})
}

// fail answers with an error of managing keys.
func fail(w http.ResponseWriter, err error) {
	status := http.StatusServiceUnavailable
	switch {
	case errors.Is(err, apikey.ErrOwner):
		status = http.StatusBadRequest
	case errors.Is(err, apikey.ErrNotFound):
		status = http.StatusNotFound
	}
	http.Error(w, http.StatusText(status), status)
}

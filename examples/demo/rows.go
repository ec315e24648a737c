package demo

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/go-apikey/apikey"
)

// Fail answers a request with what is wrong with it, in the form of a service.
type Fail func(w http.ResponseWriter, status int, code, message string)

// Problem is a Fail with a problem document (RFC 9457), as the library answers.
func Problem(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/problem+json")
	Answer(w, status, map[string]any{"title": http.StatusText(status), "status": status, "detail": message, "code": code})
}

// Answer answers with JSON.
func Answer(w http.ResponseWriter, status int, body any) {
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "application/json")
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // to a client that may be gone
}

const maxBody = 16 << 10

// Read reads a request's JSON, or answers what is wrong with it. No body is an
// empty one.
func Read(w http.ResponseWriter, r *http.Request, into any, fail Fail) bool {
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(into)
	if err == nil || errors.Is(err, io.EOF) {
		return true
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		fail(w, http.StatusRequestEntityTooLarge, "too_large", "The body must be at most 16 KiB.")
		return false
	}
	fail(w, http.StatusBadRequest, "malformed", "The body must be a JSON object.")
	return false
}

// Row is one thing of an API.
type Row map[string]any

// Rows are the things of one kind, per owner, in memory. Its handlers find the
// owner in the context, where a guard put it.
type Rows struct {
	prefix string
	fail   Fail

	mu   sync.Mutex
	rows map[string][]Row // by owner, oldest first
}

// maxRows is how many an owner has; the oldest makes room.
const maxRows = 500

// NewRows is a kind whose IDs begin with the prefix.
func NewRows(prefix string, fail Fail) *Rows {
	return &Rows{prefix: prefix, fail: fail, rows: make(map[string][]Row)}
}

// Add adds a row, with an ID if it has none.
func (s *Rows) Add(owner string, row Row) Row {
	row = maps.Clone(row)
	if row["id"] == nil {
		row["id"] = s.prefix + strings.ToLower(rand.Text()[:12])
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	rows := s.rows[owner]
	if len(rows) == maxRows {
		rows = slices.Delete(rows, 0, 1)
	}
	s.rows[owner] = append(rows, row)
	return maps.Clone(row)
}

// Len is how many an owner has.
func (s *Rows) Len(owner string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.rows[owner])
}

// Of is the row that a request's path names by its {id}; nil, once it answered
// that the caller's owner has none such.
func (s *Rows) Of(w http.ResponseWriter, r *http.Request) Row {
	return s.edit(w, r, func(rows []Row, i int) []Row { return rows })
}

// edit calls f with the rows of the owner and the index of the one that the
// path names.
func (s *Rows) edit(w http.ResponseWriter, r *http.Request, f func(rows []Row, i int) []Row) Row {
	owner := Owns(r)
	s.mu.Lock()
	rows := s.rows[owner]
	i := slices.IndexFunc(rows, func(row Row) bool { return row["id"] == r.PathValue("id") })
	var found Row
	if i >= 0 {
		row := rows[i]
		s.rows[owner] = f(rows, i)
		found = maps.Clone(row)
	}
	s.mu.Unlock()
	if found == nil {
		s.fail(w, http.StatusNotFound, "not_found", "There is no such thing.")
	}
	return found
}

// Owns is the owner of the key that a guarded request came with.
func Owns(r *http.Request) string {
	caller, _ := apikey.FromContext(r.Context())
	return caller.Owner()
}

// List answers with all of them.
func (s *Rows) List(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	rows := slices.Clone(s.rows[Owns(r)])
	for i := range rows {
		rows[i] = maps.Clone(rows[i])
	}
	s.mu.Unlock()
	if rows == nil {
		rows = []Row{}
	}
	Answer(w, http.StatusOK, map[string]any{"data": rows})
}

// Create makes one of the body.
func (s *Rows) Create(w http.ResponseWriter, r *http.Request) {
	row := Row{}
	if !Read(w, r, &row, s.fail) {
		return
	}
	if row == nil { // of "null"
		row = Row{}
	}
	delete(row, "id")
	Answer(w, http.StatusCreated, s.Add(Owns(r), row))
}

// Get answers with one.
func (s *Rows) Get(w http.ResponseWriter, r *http.Request) {
	if row := s.Of(w, r); row != nil {
		Answer(w, http.StatusOK, row)
	}
}

// Change sets what the body has of one.
func (s *Rows) Change(w http.ResponseWriter, r *http.Request) {
	changes := Row{}
	if Read(w, r, &changes, s.fail) {
		s.Set(changes)(w, r)
	}
}

// Set handles requests that set fields of one to the same values each time.
func (s *Rows) Set(fields Row) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		row := s.edit(w, r, func(rows []Row, i int) []Row {
			for name, value := range fields {
				if name != "id" {
					rows[i][name] = value
				}
			}
			return rows
		})
		if row != nil {
			Answer(w, http.StatusOK, row)
		}
	}
}

// Delete forgets one.
func (s *Rows) Delete(w http.ResponseWriter, r *http.Request) {
	if s.edit(w, r, func(rows []Row, i int) []Row { return slices.Delete(rows, i, i+1) }) != nil {
		w.WriteHeader(http.StatusNoContent)
	}
}

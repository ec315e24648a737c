package keyadmin_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
)

// schema is the document that the service serves.
type schema struct{ doc *openapi3.T }

// withSchema has every answer from now on held against the served document.
func (w *world) withSchema(t testing.TB) {
	t.Helper()
	a := w.do(t, request{as: "ana", method: "GET", path: "openapi.json"})
	doc, err := openapi3.NewLoader().LoadFromData(a.body)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context(), openapi3.IsOpenAPI31OrLater()); err != nil {
		t.Fatal(err)
	}
	w.schema = &schema{doc}
}

// check fails the test if an answer is not as documented.
func (s *schema) check(t testing.TB, q request, r *http.Request, a *answer) {
	t.Helper()
	path, _, _ := strings.Cut(q.path, "?")
	template := "/" + path
	if parts := strings.Split(path, "/"); len(parts) > 1 {
		parts[1] = "{id}"
		template = "/" + strings.Join(parts, "/")
	}
	item := s.doc.Paths.Value(template)
	if item == nil || item.GetOperation(q.method) == nil {
		if a.status != http.StatusNotFound && a.status != http.StatusMethodNotAllowed && a.status < 400 {
			t.Errorf("%s %s is not documented, and answers %d", q.method, q.path, a.status)
		}
		return
	}
	in := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{
			Request: r,
			Route:   &routers.Route{Spec: s.doc, Path: template, PathItem: item, Method: q.method, Operation: item.GetOperation(q.method)},
		},
		Status: a.status, Header: a.header,
		Options: &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	}
	in.SetBodyBytes(a.body)
	if err := openapi3filter.ValidateResponse(t.Context(), in); err != nil {
		t.Errorf("%s %s: the answer %d %s is not as documented: %v", q.method, q.path, a.status, a.body, err)
	}
}

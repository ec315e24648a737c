package keyadmin

import (
	"context"
	"encoding/json"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/go-apikey/apikey"
)

// api is the JSON API. It serves admitted requests only.
type api struct {
	*handler
	mux     *http.ServeMux
	huma    huma.API
	openapi []byte
}

const (
	maxBody = 1 << 20
	maxPage = 1000
)

func newAPI(h *handler) *api {
	a := &api{handler: h, mux: http.NewServeMux()}
	a.huma = humago.New(a.mux, huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info:    &huma.Info{Title: h.cfg.Title, Version: "1"},
			Servers: []*huma.Server{{URL: "."}}, // as seen from openapi.json
			Components: &huma.Components{
				Schemas: huma.NewMapRegistry("#/components/schemas/", schemaName),
			},
		},
		Formats:                      map[string]huma.Format{"application/json": strictJSON, "json": strictJSON},
		DefaultFormat:                "application/json",
		RejectUnknownQueryParameters: true,
		Transformers:                 []huma.Transformer{asProblem},
	})
	a.registerKeys()
	a.registerStates()
	a.registerMore()
	a.openapi = a.document()
	return a
}

// schemaName is what a type is called in the document. Types of elsewhere, such
// as huma's own error, never stand in the way of one of ours.
func schemaName(t reflect.Type, hint string) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	name := strings.TrimSuffix(huma.DefaultSchemaNamer(t, hint), "JSON")
	if t.Name() != "" && t.PkgPath() != reflect.TypeFor[api]().PkgPath() {
		return "Foreign" + name
	}
	return name
}

// document is the OpenAPI document, without the schemas that no call uses.
func (a *api) document() []byte {
	schemas := a.huma.OpenAPI().Components.Schemas.Map()
	maps.DeleteFunc(schemas, func(name string, _ *huma.Schema) bool { return strings.HasPrefix(name, "Foreign") })
	doc, err := json.Marshal(a.huma.OpenAPI())
	if err != nil {
		panic(err) // of types of ours alone
	}
	return doc
}

// ServeHTTP answers a call, or says that there is none.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, pattern := a.mux.Handler(r); pattern == "" {
		a.noCall(w, r)
		return
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		problemOf(422, "invalid", titleInvalid, detailInvalid, fieldAt{"query", "must be well-formed"}).write(w)
		return
	}
	p := problemOf(422, "invalid", titleInvalid, detailInvalid)
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if len(query[name]) > 1 {
			p.Errors = append(p.Errors, fieldAt{known("query." + name), "must be there once"})
		}
	}
	if p.Errors != nil {
		p.write(w)
		return
	}
	r.URL.RawQuery = query.Encode() // that huma reads the same
	if match := r.Header.Values("If-Match"); len(match) > 1 {
		r.Header = r.Header.Clone()
		r.Header.Set("If-Match", strings.Join(match, ", "))
	}
	a.mux.ServeHTTP(w, r)
}

// noCall is 405 where another method is a call, else 404.
func (a *api) noCall(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPatch, http.MethodDelete} {
		other := *r
		other.Method = method
		if _, pattern := a.mux.Handler(&other); pattern != "" {
			allowed = append(allowed, method)
		}
	}
	if allowed == nil {
		errNoCall.write(w)
		return
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	problemOf(405, "method", "Method not allowed", "This address takes "+strings.Join(allowed, ", ")+".").write(w)
}

// call is what a call is named and asks for.
type call struct {
	method, path string // as in "keys/{id}"
	id           string // of the operation
	summary      string
	needs        ability
	operator     bool // only they may
	status       int  // 0: 200, or 204 without a body
}

// register adds a call to the mux and to the document. What it needs is asked
// before the body is read.
func register[I, O any](a *api, c call, serve func(context.Context, *admitted, *I) (*O, error), more ...func(*huma.Operation)) {
	op := huma.Operation{
		OperationID:   c.id,
		Method:        c.method,
		Path:          "/" + c.path,
		Summary:       c.summary,
		DefaultStatus: c.status,
		MaxBodyBytes:  maxBody + 1, // huma refuses what is as long
		Middlewares:   huma.Middlewares{a.guard(c)},
		Responses:     map[string]*huma.Response{"default": a.problemResponse()},
	}
	for _, f := range more {
		f(&op)
	}
	huma.Register(a.huma, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := serve(ctx, admittedFrom(ctx), in)
		if err != nil {
			return nil, toProblem(err)
		}
		return out, nil
	})
}

// guard refuses who may not, and a body that is not JSON.
func (a *api) guard(c call) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		r, w := humago.Unwrap(ctx)
		if p := admittedFrom(r.Context()).may(c.needs, c.operator); p != nil {
			p.write(w)
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			if r.ContentLength != 0 && !isJSON(r.Header) {
				errMediaType.write(w)
				return
			}
			r.Header = r.Header.Clone()
			r.Header.Set("Content-Type", "application/json") // in the letters that huma knows
		}
		next(ctx)
	}
}

func isJSON(h http.Header) bool {
	if len(h.Values("Content-Type")) != 1 {
		return false
	}
	kind, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	charset, given := params["charset"]
	return err == nil && kind == "application/json" && (!given || strings.EqualFold(charset, "utf-8"))
}

func (a *api) problemResponse() *huma.Response {
	schema := a.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[problem](), true, "")
	return &huma.Response{
		Description: "Nothing was changed, save for the code outcome_unknown.",
		Content:     map[string]*huma.MediaType{problemType: {Schema: schema}},
	}
}

// answers documents a body that no type describes.
func answers(contentType string, schema *huma.Schema) func(*huma.Operation) {
	return func(op *huma.Operation) {
		op.Responses["200"] = &huma.Response{
			Description: "OK", Content: map[string]*huma.MediaType{contentType: {Schema: schema}},
		}
	}
}

// keyOut is an answer with a key.
type keyOut struct {
	ETag string `header:"ETag" doc:"Of the key's version, for If-Match. It does not change with usage."`
	Body keyJSON
}

// keyOf is the answer that shows k, and what it was used for.
func (a *admitted) keyOf(k *apikey.Key) *keyOut {
	return &keyOut{ETag: tag(k), Body: a.show(k)}
}

// changed is the answer that shows k after a change, for which usage is read
// anew. That it cannot be read does not undo the change: then it is left out.
func (a *admitted) changed(ctx context.Context, k *apikey.Key) *keyOut {
	now, err := a.keys.Get(ctx, k.ID)
	if err != nil {
		out := a.keyOf(k)
		out.Body.Requests, out.Body.Limited, out.Body.Denied = nil, nil, nil
		return out
	}
	k.Usage = now.Usage
	return a.keyOf(k)
}

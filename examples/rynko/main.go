// Command rynko is a service that makes documents, with the key system of
// Rynko: an owner is a workspace, tokens are rd_sk_…, and those of the system
// before, fm_…, go on working until they are rotated.
//
//	go run ./examples/rynko [-addr 127.0.0.1:8080] [-db FILE]
package main

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/examples/demo"
)

func main() {
	demo.Main(&demo.Service{
		Title: "Rynko",
		Config: apikey.Config{
			Formats: []apikey.Format{{Prefix: "rd_sk_"}},
			Schemes: []apikey.Scheme{{Name: "fm", Prefix: "fm_", MinLen: 35, MaxLen: 39}},
			Catalog: &apikey.Catalog{Permissions: []apikey.PermissionInfo{
				{Permission: "documents:generate", Title: "Generate Documents"},
				{Permission: "templates:manage", Title: "Manage Templates", Description: "Create, update, delete, publish, unpublish."},
				{Permission: "analytics:view", Title: "View Analytics", Description: "Metrics and reports."},
				{Permission: "team:manage", Title: "Manage Team", Description: "Invite people, change roles."},
			}},
			HTTP: apikey.HTTPConfig{
				Sources:      []apikey.Source{apikey.Bearer()},
				Realm:        "rynko",
				ErrorHandler: refuse,
			},
		},
		Plans: []apikey.Plan{
			{Name: "free", MaxKeys: apikey.NoCap, OwnerLimits: []apikey.Limit{apikey.PerMinute(60)}},
			{Name: "starter", MaxKeys: apikey.NoCap, OwnerLimits: []apikey.Limit{apikey.PerMinute(300)}},
			{Name: "pro", MaxKeys: apikey.NoCap, OwnerLimits: []apikey.Limit{apikey.PerMinute(1000)}},
			{Name: "enterprise", MaxKeys: apikey.NoCap, OwnerLimits: []apikey.Limit{apikey.PerMinute(5000)}},
		},
		Owners: []demo.Owner{
			{ID: "acme", Name: "Acme", Plan: "pro"},
			{ID: "beta", Name: "Beta", Plan: "free"},
			{ID: "corp", Name: "Corp", Plan: "enterprise"},
		},
		People: []demo.Person{
			{ID: "ana", Owners: []string{"acme", "beta"}},
			{ID: "bo", Owners: []string{"beta"}},
			{ID: "cy", Owners: []string{"acme"}, MayLook: true},
		},
		Routes: routes,
		Try:    `-H "Authorization: Bearer $TOKEN" -d '{"templateId":"invoice","format":"pdf"}' {base}/api/v1/documents/generate`,
		Seed:   importLegacy,
	})
}

// refuse answers requests that were not let in, with Rynko's own codes.
func refuse(w http.ResponseWriter, r *http.Request, err error) {
	var denial *apikey.Denial
	var unavailable *apikey.UnavailableError
	switch {
	case errors.As(err, &denial):
		status, code, message := refusal(r, denial)
		fail(w, status, code, message)
	case errors.As(err, &unavailable), errors.Is(err, apikey.ErrClosed):
		fail(w, http.StatusServiceUnavailable, "ERR_SYS_001", "The service is not available now; try again")
	default:
		fail(w, http.StatusInternalServerError, "ERR_SYS_002", "Something went wrong")
	}
}

func refusal(r *http.Request, d *apikey.Denial) (status int, code, message string) {
	switch d.Reason {
	case apikey.ReasonMissing, apikey.ReasonEmpty:
		return http.StatusUnauthorized, "ERR_AUTH_001", "You are not authorized to access this resource"
	case apikey.ReasonMalformedRequest:
		if fields := strings.Fields(r.Header.Get("Authorization")); len(r.Header["Authorization"]) == 1 &&
			len(fields) == 2 && !strings.Contains(fields[1], ",") { // one credential, in letters that no key has
			return http.StatusUnauthorized, "ERR_AKEY_002", "Invalid API key"
		}
		fallthrough
	case apikey.ReasonUnsupportedScheme:
		return http.StatusUnauthorized, "ERR_AUTH_004", "Invalid authentication token"
	case apikey.ReasonDisabled, apikey.ReasonHeld:
		return http.StatusUnauthorized, "ERR_AKEY_003", "API key has been deactivated"
	case apikey.ReasonPermission:
		return http.StatusForbidden, "ERR_AUTH_005", "You do not have permission to perform this action"
	case apikey.ReasonRateLimited:
		return http.StatusTooManyRequests, "ERR_RATE_001", "Too many requests; try again later"
	}
	return http.StatusUnauthorized, "ERR_AKEY_002", "Invalid API key"
}

// fail is the form of Rynko's errors.
func fail(w http.ResponseWriter, status int, code, message string) {
	if !strings.HasPrefix(code, "ERR_") { // of what all demos share
		code = "ERR_" + strings.ToUpper(code)
	}
	demo.Answer(w, status, map[string]string{"code": code, "message": message})
}

// routes is the API. Each route says what it asks of a key.
func routes(keys *apikey.Manager, mux *http.ServeMux) {
	documents := keys.Require("documents:generate")
	jobs := demo.NewRows("job_", fail)
	mux.Handle("POST /api/v1/documents/generate", documents(generate(jobs)))
	mux.Handle("POST /api/documents/generate", documents(generate(jobs))) // the older address
	mux.Handle("GET /api/v1/documents/jobs/{id}", documents(status(jobs)))
	mux.Handle("GET /api/v1/documents/jobs/{id}/file", documents(download(jobs)))

	manage := keys.Require("templates:manage")
	templates := demo.NewRows("tpl_", fail)
	mux.Handle("GET /api/v1/templates", manage(http.HandlerFunc(templates.List)))
	mux.Handle("POST /api/v1/templates", manage(http.HandlerFunc(templates.Create)))
	mux.Handle("PUT /api/v1/templates/{id}", manage(http.HandlerFunc(templates.Change)))
	mux.Handle("DELETE /api/v1/templates/{id}", manage(http.HandlerFunc(templates.Delete)))
	mux.Handle("POST /api/v1/templates/{id}/publish", manage(templates.Set(demo.Row{"published": true})))
	mux.Handle("POST /api/v1/templates/{id}/unpublish", manage(templates.Set(demo.Row{"published": false})))

	mux.Handle("GET /api/v1/analytics", keys.Require("analytics:view")(analytics(jobs, templates)))

	team := keys.Require("team:manage")
	members := demo.NewRows("", fail)
	for owner, names := range map[string][]string{"acme": {"ana", "cy"}, "beta": {"ana", "bo"}} {
		for _, name := range names {
			members.Add(owner, demo.Row{"id": name, "role": "member"})
		}
	}
	mux.Handle("POST /api/v1/team/invitations", team(http.HandlerFunc(demo.NewRows("inv_", fail).Create)))
	mux.Handle("PUT /api/v1/team/members/{id}/role", team(http.HandlerFunc(members.Change)))
}

// generate begins a document of the key's workspace.
func generate(jobs *demo.Rows) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			TemplateID string         `json:"templateId"`
			Format     string         `json:"format"`
			Variables  map[string]any `json:"variables"`
		}
		if !demo.Read(w, r, &in, fail) {
			return
		}
		job := jobs.Add(demo.Owns(r), demo.Row{"templateId": in.TemplateID, "format": in.Format, "done": time.Now().Add(300 * time.Millisecond)})
		demo.Answer(w, http.StatusAccepted, map[string]any{"jobId": job["id"], "status": "queued", "statusUrl": address(r, job)})
	}
}

// status says how far a document is. Of another workspace's it is 404.
func status(jobs *demo.Rows) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		job := jobs.Of(w, r)
		if job == nil {
			return
		}
		answer := map[string]any{"jobId": job["id"], "status": "queued"}
		if done, ok := job["done"].(time.Time); ok && time.Now().After(done) {
			answer["status"], answer["downloadUrl"] = "completed", address(r, job)+"/file"
		}
		demo.Answer(w, http.StatusOK, answer)
	}
}

// address is the URL of a job.
func address(r *http.Request, job demo.Row) string {
	return "http://" + r.Host + "/api/v1/documents/jobs/" + job["id"].(string)
}

func download(jobs *demo.Rows) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if job := jobs.Of(w, r); job != nil {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			_, _ = w.Write([]byte("a document\n")) // to a client that may be gone
		}
	}
}

func analytics(jobs, templates *demo.Rows) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		demo.Answer(w, http.StatusOK, map[string]int{"documents": jobs.Len(demo.Owns(r)), "templates": templates.Len(demo.Owns(r))})
	}
}

// legacyToken was issued by the system before. In a service of yours it is in
// no source: what you import is its digest.
const legacyToken = "fm_demo4f9c2a7be01d4c6f8a3b5d7e9f1a2c4e"

// importLegacy brings the key of the older system over. At the next start it is there.
func importLegacy(ctx context.Context, keys *apikey.Manager) (string, error) {
	_, err := keys.Keyring("acme", apikey.Operator("migration")).Import(ctx, apikey.ImportParams{
		KeyParams: apikey.KeyParams{Name: "Legacy importer", Permissions: apikey.Permissions{"documents:generate"}},
		Token:     legacyToken,
		CreatedAt: time.Now().AddDate(0, 0, -120), // so it is due for rotation
	})
	if errors.Is(err, apikey.ErrExists) {
		err = nil
	}
	return "\nA token of the system before, until its key is rotated: " + legacyToken + "\n", err
}

// Command lynxo is a service that runs jobs, with the key system of Lynxo: an
// owner is an account, tokens are lx_live_… and lx_test_…. A key has a level, or
// single permissions, which may be of one integration; each key has a limit of its own.
//
//	go run ./examples/lynxo [-addr 127.0.0.1:8080] [-db FILE]
package main

import (
	"net/http"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/examples/demo"
)

func main() {
	demo.Main(&demo.Service{
		Title: "Lynxo",
		Config: apikey.Config{
			Formats: []apikey.Format{
				{Prefix: "lx_live_", Environment: "live"},
				{Prefix: "lx_test_", Environment: "test"},
			},
			Catalog: &apikey.Catalog{
				Permissions: []apikey.PermissionInfo{
					{Permission: "jobs:read", Title: "See jobs", Group: "Jobs"},
					{Permission: "jobs:write", Title: "Create, change and delete jobs", Group: "Jobs"},
					{Permission: "integrations:hubspot:read", Title: "See HubSpot runs", Group: "Integrations"},
					{Permission: "integrations:hubspot:write", Title: "Run HubSpot", Group: "Integrations"},
					{Permission: "integrations:slack:read", Title: "See Slack runs", Group: "Integrations"},
					{Permission: "integrations:slack:write", Title: "Run Slack", Group: "Integrations"},
					{Permission: "account:manage", Title: "Manage the account", Group: "Account"},
				},
				Presets: []apikey.Preset{
					{Name: "read-only", Title: "Read Only", Description: "See everything, change nothing.", Permissions: apikey.Permissions{"*:read"}},
					{Name: "read-write", Title: "Read/Write", Permissions: apikey.Permissions{"*:read", "*:write"}},
					{Name: "full-access", Title: "Full Access", Description: "All endpoints.", Permissions: apikey.Permissions{"*"}},
				},
			},
			HTTP: apikey.HTTPConfig{Sources: []apikey.Source{apikey.Bearer()}, Realm: "lynxo"},
		},
		Plans: []apikey.Plan{
			{Name: "standard", MaxKeys: 50, KeyLimits: []apikey.Limit{apikey.PerMinute(120)}},
		},
		Owners: []demo.Owner{
			{ID: "lab", Name: "Lab", Plan: "standard"},
			{ID: "shop", Name: "Shop", Plan: "standard"},
		},
		People: []demo.Person{
			{ID: "ana", Owners: []string{"lab"}},
			{ID: "bo", Owners: []string{"shop"}},
			{ID: "di", Owners: []string{"lab"}, Ceiling: apikey.Permissions{"*:read"}},
		},
		Routes: routes,
		Try:    `-H "Authorization: Bearer $TOKEN" {base}/v1/jobs`,
	})
}

// routes is the API. It is live: test keys are told that they are of another
// environment.
func routes(keys *apikey.Manager, mux *http.ServeMux) {
	live := func(permission apikey.Permission, h http.HandlerFunc) http.Handler {
		return keys.Guard(apikey.Policy{All: []apikey.Permission{permission}, Environment: "live"})(h)
	}
	jobs := demo.NewRows("job_", demo.Problem)
	mux.Handle("GET /v1/jobs", live("jobs:read", jobs.List))
	mux.Handle("GET /v1/jobs/{id}", live("jobs:read", jobs.Get))
	mux.Handle("POST /v1/jobs", live("jobs:write", jobs.Create))
	mux.Handle("PATCH /v1/jobs/{id}", live("jobs:write", jobs.Change))
	mux.Handle("DELETE /v1/jobs/{id}", live("jobs:write", jobs.Delete))
	for _, name := range []string{"hubspot", "slack"} {
		runs := demo.NewRows("run_", demo.Problem)
		path, permission := "/v1/integrations/"+name+"/runs", apikey.Permission("integrations:"+name)
		mux.Handle("GET "+path, live(permission+":read", runs.List))
		mux.Handle("POST "+path, live(permission+":write", runs.Create))
	}
	mux.Handle("POST /v1/account/export", live("account:manage", demo.NewRows("exp_", demo.Problem).Create))
}

// Command rndrkit is a service that renders sites, with the key system of
// RndrKit: an owner is an account, tokens are rk_live_ and exactly 32 letters or
// digits, in X-Api-Key. There are keys in two of four plans, five an account,
// and all of an account draw on one limit.
//
//	go run ./examples/rndrkit [-addr 127.0.0.1:8080] [-db FILE]
package main

import (
	"net/http"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/examples/demo"
)

// upgrade is why there are no keys in a plan.
const upgrade = "API keys are part of the plans Agency and Agency+: upgrade to one of them to use keys."

const maxKeys = 5

func main() {
	demo.Main(&demo.Service{
		Title: "RndrKit",
		Config: apikey.Config{
			Formats: []apikey.Format{
				{Prefix: "rk_live_", Environment: "live", IDLen: 7, SecretLen: 19}, // with 6 of checksum, 32
			},
			Catalog: &apikey.Catalog{Permissions: []apikey.PermissionInfo{ // no route asks for it
				{Permission: "account:use", Title: "Use the account", Description: "Every key may do all that its account may."},
			}},
			HTTP: apikey.HTTPConfig{Sources: []apikey.Source{apikey.Header("X-Api-Key")}, Realm: "rndrkit"},
		},
		Plans: []apikey.Plan{
			{Name: "starter", Refusal: upgrade},
			{Name: "pro", Refusal: upgrade},
			{Name: "agency", MaxKeys: maxKeys, OwnerLimits: []apikey.Limit{apikey.PerMinute(120)}},
			{Name: "agency-plus", MaxKeys: maxKeys, OwnerLimits: []apikey.Limit{apikey.PerMinute(600)}},
		},
		Owners: []demo.Owner{
			{ID: "studio", Name: "Studio", Plan: "agency"},
			{ID: "solo", Name: "Solo", Plan: "pro"},
			{ID: "bigstudio", Name: "Big Studio", Plan: "agency-plus"},
		},
		People: []demo.Person{
			{ID: "ana", Owners: []string{"studio"}},
			{ID: "bo", Owners: []string{"solo"}},
			{ID: "cy", Owners: []string{"bigstudio"}},
		},
		Routes: routes,
		Try:    `-H "X-Api-Key: $TOKEN" {base}/api/projects`,
	})
}

// routes is the API: any key will do.
func routes(keys *apikey.Manager, mux *http.ServeMux) {
	guard := keys.Require()
	projects := demo.NewRows("prj_", demo.Problem)
	for _, owner := range []string{"studio", "solo", "bigstudio"} {
		projects.Add(owner, demo.Row{"name": "Website"})
	}
	mux.Handle("GET /api/projects", guard(http.HandlerFunc(projects.List)))
	mux.Handle("POST /api/deployments", guard(http.HandlerFunc(demo.NewRows("dpl_", demo.Problem).Create)))
}

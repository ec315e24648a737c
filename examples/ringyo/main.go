// Command ringyo is a service that makes calls, with the key system of Ringyo:
// an owner is an account, tokens are rg_live_… and rg_test_…. Calls with a live
// key cost credits, those with a test key are none and cost none.
//
//	go run ./examples/ringyo [-addr 127.0.0.1:8080] [-db FILE]
package main

import (
	"net/http"
	"sync"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/examples/demo"
)

func main() {
	demo.Main(&demo.Service{
		Title: "Ringyo",
		Config: apikey.Config{
			Formats: []apikey.Format{
				{Prefix: "rg_live_", Environment: "live"},
				{Prefix: "rg_test_", Environment: "test"},
			},
			Catalog: &apikey.Catalog{
				Permissions: []apikey.PermissionInfo{
					{Permission: "agents:create", Title: "Create agents", Group: "Agents"},
					{Permission: "agents:read", Title: "See agents", Group: "Agents"},
					{Permission: "agents:update", Title: "Change agents", Group: "Agents"},
					{Permission: "agents:delete", Title: "Delete agents", Group: "Agents"},
					{Permission: "calls:create", Title: "Initiate calls", Group: "Calls"},
					{Permission: "calls:read", Title: "Read call logs", Group: "Calls"},
					{Permission: "phone-numbers:read", Title: "List phone numbers", Group: "Phone Numbers"},
					{Permission: "phone-numbers:manage", Title: "Manage phone numbers", Group: "Phone Numbers"},
					{Permission: "webhooks:read", Title: "List webhooks", Group: "Webhooks"},
					{Permission: "webhooks:manage", Title: "Manage webhooks", Group: "Webhooks"},
				},
				Presets: []apikey.Preset{
					{Name: "read-only", Title: "Read Only", Description: "View everything, change nothing.", Permissions: apikey.Permissions{"*:read"}},
				},
			},
			HTTP: apikey.HTTPConfig{Sources: []apikey.Source{apikey.Bearer()}, Realm: "ringyo"},
		},
		Plans: []apikey.Plan{
			{Name: "free", Refusal: "API keys are part of the plans Pro and Agency: upgrade to one of them to use keys."},
			{Name: "pro", MaxKeys: apikey.NoCap, OwnerLimits: []apikey.Limit{apikey.PerMinute(60)}},
			{Name: "agency", MaxKeys: apikey.NoCap, OwnerLimits: []apikey.Limit{apikey.PerMinute(300)}},
		},
		Owners: []demo.Owner{
			{ID: "callco", Name: "Callco", Plan: "agency"},
			{ID: "smallco", Name: "Smallco", Plan: "pro"},
			{ID: "freeco", Name: "Freeco", Plan: "free"},
		},
		People: []demo.Person{
			{ID: "ana", Owners: []string{"callco"}},
			{ID: "bo", Owners: []string{"smallco"}},
			{ID: "cy", Owners: []string{"freeco"}},
		},
		Routes: routes,
		Try:    `-H "Authorization: Bearer $TOKEN" -X POST {base}/v1/calls`,
	})
}

// routes is the API. Each route says what it asks of a key.
func routes(keys *apikey.Manager, mux *http.ServeMux) {
	handle := func(pattern string, h http.HandlerFunc, permissions ...apikey.Permission) {
		mux.Handle(pattern, keys.Require(permissions...)(h))
	}
	agents := demo.NewRows("agt_", demo.Problem)
	handle("POST /v1/agents", agents.Create, "agents:create")
	handle("GET /v1/agents", agents.List, "agents:read")
	handle("GET /v1/agents/{id}", agents.Get, "agents:read")
	handle("PATCH /v1/agents/{id}", agents.Change, "agents:update")
	handle("DELETE /v1/agents/{id}", agents.Delete, "agents:delete")

	credits := &credits{left: map[string]int{"callco": 100, "smallco": 20}}
	calls := demo.NewRows("call_", demo.Problem)
	handle("GET /v1/credits", credits.show) // any key
	handle("POST /v1/calls", call(calls, credits), "calls:create")
	handle("GET /v1/calls/{id}/logs", logs(calls), "calls:read")

	numbers := demo.NewRows("num_", demo.Problem)
	for owner, number := range map[string]string{"callco": "+15550100", "smallco": "+15550101", "freeco": "+15550102"} {
		numbers.Add(owner, demo.Row{"number": number})
	}
	handle("GET /v1/phone-numbers", numbers.List, "phone-numbers:read")
	handle("POST /v1/phone-numbers/{id}/assign", numbers.Change, "phone-numbers:manage")

	webhooks := demo.NewRows("whk_", demo.Problem)
	mux.Handle("GET /v1/webhooks", keys.Guard(apikey.Policy{
		Any: []apikey.Permission{"webhooks:read", "webhooks:manage"},
	})(http.HandlerFunc(webhooks.List)))
	handle("POST /v1/webhooks", webhooks.Create, "webhooks:manage")
	handle("DELETE /v1/webhooks/{id}", webhooks.Delete, "webhooks:manage")
}

// call initiates a call. What kind of one the environment of the key says.
func call(calls *demo.Rows, credits *credits) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		row := demo.Row{}
		if !demo.Read(w, r, &row, demo.Problem) {
			return
		}
		caller, _ := apikey.FromContext(r.Context())
		if caller.Environment() == "live" && !credits.spend(caller.Owner()) {
			demo.Problem(w, http.StatusPaymentRequired, "no_credits", "No credits are left.")
			return
		}
		made := calls.Add(caller.Owner(), demo.Row{"to": row["to"], "mode": caller.Environment()})
		demo.Answer(w, http.StatusCreated, made)
	}
}

func logs(calls *demo.Rows) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if row := calls.Of(w, r); row != nil {
			demo.Answer(w, http.StatusOK, map[string]any{"id": row["id"], "mode": row["mode"], "logs": []string{"started", "ended"}})
		}
	}
}

// credits are what accounts have left.
type credits struct {
	mu   sync.Mutex
	left map[string]int
}

// spend takes one, if one is left.
func (c *credits) spend(owner string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left[owner] == 0 {
		return false
	}
	c.left[owner]--
	return true
}

func (c *credits) show(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	left := c.left[demo.Owns(r)]
	c.mu.Unlock()
	demo.Answer(w, http.StatusOK, map[string]int{"credits": left})
}

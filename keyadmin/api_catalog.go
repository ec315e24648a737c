package keyadmin

import (
	"context"

	"github.com/go-apikey/apikey"
)

type catalogOut struct {
	Body catalogJSON
}

type catalogJSON struct {
	Formats     []formatJSON     `json:"formats" nullable:"false" doc:"That are issued; the first is what a new key has if it is not told otherwise."`
	Permissions []permissionJSON `json:"permissions" nullable:"false" doc:"None: any well-formed one may be granted."`
	Presets     []presetJSON     `json:"presets" nullable:"false"`
	Plan        *planJSON        `json:"plan,omitempty" doc:"Left out: no limits and no cap."`
}

type formatJSON struct {
	Prefix      string `json:"prefix"`
	Environment string `json:"environment"`
}

type permissionJSON struct {
	Permission  apikey.Permission `json:"permission"`
	Title       string            `json:"title"`
	Description string            `json:"description,omitempty"`
	Group       string            `json:"group,omitempty"`
	Allowed     bool              `json:"allowed" doc:"You may grant it."`
}

type presetJSON struct {
	Name        string             `json:"name"`
	Title       string             `json:"title"`
	Description string             `json:"description,omitempty"`
	Permissions apikey.Permissions `json:"permissions" nullable:"false"`
	Allowed     bool               `json:"allowed" doc:"You may grant it."`
}

type planJSON struct {
	Name     string          `json:"name"`
	Refusal  string          `json:"refusal,omitempty" doc:"Why there are no keys in this plan."`
	MaxKeys  *int            `json:"max_keys,omitempty" doc:"Keys that are neither revoked nor expired; left out: any number."`
	KeysLeft *int            `json:"keys_left,omitempty" doc:"How many of them are left."`
	Limits   []planLimitJSON `json:"limits" nullable:"false"`
}

type planLimitJSON struct {
	Name       string  `json:"name"`
	N          int     `json:"n" doc:"So many requests…"`
	PerSeconds float64 `json:"per_seconds" doc:"…in so many seconds."`
	Burst      int     `json:"burst" doc:"So many at once."`
	Scope      string  `json:"scope" enum:"owner,key" doc:"Whether all keys share it, or each has its own."`
}

func (a *api) catalog(ctx context.Context, who *admitted, _ *struct{}) (*catalogOut, error) {
	out := &catalogOut{}
	for _, f := range a.manager.Formats() {
		if !f.NoIssue {
			out.Body.Formats = append(out.Body.Formats, formatJSON{f.Prefix, f.Environment})
		}
	}
	if c := a.known; c != nil {
		for _, p := range c.Permissions {
			out.Body.Permissions = append(out.Body.Permissions, permissionJSON{
				p.Permission, or(p.Title, string(p.Permission)), p.Description, p.Group, who.mayGrant(apikey.Permissions{p.Permission}),
			})
		}
		for _, p := range c.Presets {
			out.Body.Presets = append(out.Body.Presets, presetJSON{
				p.Name, or(p.Title, p.Name), p.Description, p.Permissions, who.mayGrant(p.Permissions),
			})
		}
	}
	var err error
	out.Body.Plan, err = a.plan(ctx, who)
	return out, err
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func (a *admitted) mayGrant(p apikey.Permissions) bool {
	return a.operator() || a.session.Actor.Ceiling.Covers(p)
}

// plan is the owner's, and how many keys it leaves.
func (a *api) plan(ctx context.Context, who *admitted) (*planJSON, error) {
	plan, err := a.manager.Plan(ctx, who.session.Owner)
	if err != nil {
		return nil, err
	}
	if plan.Name == "" {
		return nil, nil //nolint:nilnil // there is none
	}
	out := &planJSON{Name: plan.Name, Refusal: plan.Refusal}
	for _, l := range plan.OwnerLimits {
		out.Limits = append(out.Limits, planLimit(l, "owner"))
	}
	for _, l := range plan.KeyLimits {
		out.Limits = append(out.Limits, planLimit(l, "key"))
	}
	if plan.MaxKeys == apikey.NoCap {
		return out, nil
	}
	live, err := who.live(ctx, plan.MaxKeys)
	left := plan.MaxKeys - live
	out.MaxKeys, out.KeysLeft = &plan.MaxKeys, &left
	return out, err
}

func planLimit(l apikey.Limit, scope string) planLimitJSON {
	return planLimitJSON{Name: l.Name, N: l.N, PerSeconds: l.Per.Seconds(), Burst: l.Capacity(), Scope: scope}
}

// live counts the owner's keys that count against the cap, up to most.
func (a *admitted) live(ctx context.Context, most int) (int, error) {
	n := 0
	q := apikey.Query{
		States: []apikey.State{apikey.StateActive, apikey.StateScheduled, apikey.StateDisabled, apikey.StateHeld},
		Limit:  maxPage,
	}
	for n < most {
		page, err := a.keys.List(ctx, q)
		if err != nil {
			return 0, err
		}
		for _, k := range page.Keys {
			if k.Live(a.now) { // a disabled key may have expired too
				n++
			}
		}
		if q.After = page.Next; q.After == "" {
			break
		}
	}
	return min(n, most), nil
}

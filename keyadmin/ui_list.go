package keyadmin

import (
	"net/url"
	"strconv"
	"time"

	"github.com/go-apikey/apikey"
)

const uiPage = 50 // rows

// rowView is a key in the list.
type rowView struct {
	*apikey.Key
	State apikey.State
	More  int // permissions beyond those that are shown
	Shown apikey.Permissions
	Due   bool // its token is old enough to be rotated
}

// listView is the list and what narrows it.
type listView struct {
	Rows         []rowView
	Filter       listFilter
	Environments []string
	States       []apikey.State
	Plan         *planView
	CreateWhy    string // why no key can be made just now; "": one can
	Next         string // query of the next page
	First        string // query of the first page, on any other
	Number       int    // of the page
	UnusedDays   int
	RotateDays   int
}

const unusedDays = 30

// listFilter is as the form has it.
type listFilter struct {
	Text, State, Environment string
	Unused, Due              bool
}

// Any reports whether anything is filtered.
func (f listFilter) Any() bool { return f != listFilter{} }

func (f listFilter) query() url.Values {
	q := url.Values{}
	for name, value := range map[string]string{"q": f.Text, "state": f.State, "environment": f.Environment} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if f.Unused {
		q.Set("unused", "1")
	}
	if f.Due {
		q.Set("due", "1")
	}
	return q
}

var allStates = []apikey.State{
	apikey.StateActive, apikey.StateScheduled, apikey.StateDisabled, apikey.StateHeld, apikey.StateExpired, apikey.StateRevoked,
}

func (u *ui) list(v *view) *problem {
	asked := v.r.URL.Query()
	f := listFilter{
		Text: asked.Get("q"), State: asked.Get("state"), Environment: asked.Get("environment"),
		Unused: asked.Get("unused") != "", Due: asked.Get("due") != "",
	}
	page, err := u.find(v, f, apikey.Cursor(asked.Get("cursor")))
	if err != nil {
		return toProblem(err)
	}
	cat, planErr := u.catalog(v.r.Context(), v.who, nil)
	out := &listView{
		Filter: f, States: allStates, Environments: environments(cat.Body.Formats), Plan: planOf(cat.Body.Plan, planErr), Number: 1,
		UnusedDays: unusedDays, RotateDays: int(u.cfg.RotateAfter / (24 * time.Hour)),
	}
	out.CreateWhy = out.Plan.why()
	for _, k := range page.Keys {
		out.Rows = append(out.Rows, u.row(v, k))
	}
	query := f.query()
	if n, err := strconv.Atoi(asked.Get("page")); err == nil && n > 1 && asked.Get("cursor") != "" {
		out.Number, out.First = n, "?"+query.Encode()
	}
	if page.Next != "" {
		query.Set("cursor", string(page.Next))
		query.Set("page", strconv.Itoa(out.Number+1))
		out.Next = "?" + query.Encode()
	}
	return v.show("list", u.cfg.Title, out)
}

// find asks for a page that has something in it, if anything is left: a store
// may give an empty one.
func (u *ui) find(v *view, f listFilter, after apikey.Cursor) (apikey.Page, error) {
	q := apikey.Query{Text: f.Text, Environment: f.Environment, After: after, Limit: uiPage}
	day := v.who.now.UTC().Truncate(24 * time.Hour) // the same for all pages of a day: cursors hold for one filter
	if f.State != "" {
		q.States = []apikey.State{apikey.State(f.State)}
	}
	live := []apikey.State{apikey.StateActive, apikey.StateScheduled, apikey.StateDisabled, apikey.StateHeld}
	if f.Unused {
		q.UnusedSince = day.AddDate(0, 0, -unusedDays)
	}
	if f.Due {
		q.RotatedBefore = day.Add(-u.cfg.RotateAfter)
	}
	if (f.Unused || f.Due) && q.States == nil { // of what is over nothing is to be done
		q.States = live
	}
	for range 20 {
		page, err := v.who.keys.List(v.r.Context(), q)
		if err != nil || len(page.Keys) > 0 || page.Next == "" {
			return page, err
		}
		q.After = page.Next
	}
	return apikey.Page{Next: q.After}, nil
}

const permissionsShown = 2

func (u *ui) row(v *view, k *apikey.Key) rowView {
	r := rowView{Key: k, State: k.State(v.who.now), Shown: k.Permissions, Due: u.due(v, k)}
	if len(r.Shown) > permissionsShown {
		r.Shown, r.More = r.Shown[:permissionsShown], len(r.Shown)-permissionsShown
	}
	return r
}

// due reports whether a key that works should get a new token.
func (u *ui) due(v *view, k *apikey.Key) bool {
	return k.Live(v.who.now) && len(k.Secrets) > 0 && k.Secrets[0].CreatedAt.Before(v.who.now.Add(-u.cfg.RotateAfter))
}

func environments(formats []formatJSON) []string {
	var out []string
	seen := map[string]bool{}
	for _, f := range formats {
		if f.Environment != "" && !seen[f.Environment] {
			seen[f.Environment] = true
			out = append(out, f.Environment)
		}
	}
	if len(out) < 2 {
		return nil // nothing to choose
	}
	return out
}

// planView is the owner's plan.
type planView struct {
	*planJSON
	Failed bool // it could not be asked
}

// planOf is nil if there are no plans.
func planOf(p *planJSON, err error) *planView {
	if p == nil && err == nil {
		return nil
	}
	return &planView{planJSON: p, Failed: err != nil}
}

// Used is how many keys count against the cap.
func (p *planView) Used() int { return *p.MaxKeys - *p.KeysLeft }

// Capped reports whether there is a cap.
func (p *planView) Capped() bool { return p.MaxKeys != nil && p.KeysLeft != nil }

// Max is the cap.
func (p *planView) Max() int { return *p.MaxKeys }

// Left is how many keys are left under it.
func (p *planView) Left() int { return max(0, *p.KeysLeft) }

// Bar is that in parts of 100.
func (p *planView) Bar() int {
	if *p.MaxKeys <= 0 {
		return 100
	}
	return max(0, min(100, p.Used()*100 / *p.MaxKeys))
}

func (p *planView) why() string {
	switch {
	case p == nil || p.Failed:
		return ""
	case p.Refusal != "":
		return p.Refusal
	case p.KeysLeft != nil && *p.KeysLeft <= 0:
		return "This account has as many keys as its plan allows. Revoke one that is no longer needed, or upgrade the plan."
	}
	return ""
}

package keyadmin

import (
	"net/http"
	"strconv"
	"time"

	"github.com/go-apikey/apikey"
)

// newView is the form of a new key.
type newView struct {
	Form    *keyForm
	Choices choices
	Formats []formatJSON
	Plan    *planView
	Why     string // why none can be made
	Made    *apikey.Key
	Problem *problem
	Today   string
}

func (u *ui) newKey(v *view) *problem {
	f := &keyForm{Expiry: "90"}
	if u.known != nil && len(u.known.Presets) > 0 {
		for _, p := range u.known.Presets {
			if v.who.mayGrant(p.Permissions) {
				f.Preset = p.Name
				break
			}
		}
	}
	return u.showNew(v, f, nil, nil)
}

// showNew is the form, with what was wrong with it.
func (u *ui) showNew(v *view, f *keyForm, p *problem, made *apikey.Key) *problem {
	cat, planErr := u.catalog(v.r.Context(), v.who, nil)
	out := &newView{
		Form: f, Choices: u.choices(v, f, &cat.Body), Formats: cat.Body.Formats, Plan: planOf(cat.Body.Plan, planErr), Problem: p, Made: made,
		Today: v.who.now.UTC().Format(time.DateOnly),
	}
	if out.Why = out.Plan.why(); p != nil || made != nil {
		out.Why = ""
	}
	if f.Prefix == "" && len(out.Formats) > 0 {
		f.Prefix = out.Formats[0].Prefix
	}
	f.At = strconv.FormatInt(v.who.now.UnixMicro(), 10)
	return v.show("new", "Create a key", out)
}

// tokenView is the one page that shows a token.
type tokenView struct {
	Key     *apikey.Key
	State   apikey.State
	Token   string
	Rotated bool
	Old     *apikey.Secret // that still works
}

func (u *ui) createKey(v *view) *problem {
	f := readKeyForm(v.form)
	if made := u.alreadyMade(v, f); made != nil {
		v.Status = http.StatusConflict
		return u.showNew(v, f, nil, made)
	}
	in := &createIn{Body: createJSON{
		Name: f.Name, Description: f.Description, Prefix: f.Prefix, Permissions: f.permissions(), Preset: f.Preset,
		ExpiresAt: f.expires(v.who.now), Networks: f.networks(),
	}}
	if f.Faults != nil {
		p := problemOf(http.StatusUnprocessableEntity, "invalid", titleInvalid, detailInvalid)
		prefixes(in.Body.Networks, p) // as much as can be told at once
		return u.wrongNew(v, f, p)
	}
	issued, err := u.create(v.r.Context(), v.who, in)
	if err != nil {
		return u.wrongNew(v, f, toProblem(err))
	}
	k, err := v.who.keys.Get(v.r.Context(), issued.Body.Key.ID)
	if err != nil { // the token is what matters
		k = &apikey.Key{ID: issued.Body.Key.ID, Name: issued.Body.Key.Name}
	}
	return u.showToken(v, &tokenView{Key: k, Token: issued.Body.Token})
}

// wrongNew shows the form again, with what was typed.
func (u *ui) wrongNew(v *view, f *keyForm, p *problem) *problem {
	f.refused(p)
	v.Status = p.Status
	return u.showNew(v, f, p, nil)
}

// alreadyMade is the key that this very form has made, if it has. Who reloads
// the page with the token sends its form again, and means no second key.
func (u *ui) alreadyMade(v *view, f *keyForm) *apikey.Key {
	at, err := strconv.ParseInt(f.At, 10, 64)
	if err != nil {
		return nil
	}
	page, err := v.who.keys.List(v.r.Context(), apikey.Query{Limit: uiPage})
	if err != nil {
		return nil // creating will say so
	}
	for _, k := range page.Keys {
		if k.CreatedAt.UnixMicro() >= at && k.CreatedBy == v.who.session.Actor.ID && k.Name == f.Name {
			return k
		}
	}
	return nil
}

// showToken answers a form with a token. It stands in this answer alone.
func (u *ui) showToken(v *view, t *tokenView) *problem {
	t.State = t.Key.State(v.who.now)
	v.Secret, v.At = true, "ui/keys/"+t.Key.ID
	title := "Your new key"
	if t.Rotated {
		title = "Your new token"
	}
	return v.show("token", title, t)
}

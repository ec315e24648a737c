package keyadmin

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-apikey/apikey"
)

// editView is the form of a change.
type editView struct {
	Key     *apikey.Key // as it is now
	State   apikey.State
	Form    *keyForm
	Choices choices
	Differs []difference // what the form would change of a key that somebody else changed meanwhile
	Stale   bool
	Problem *problem
	Today   string
}

type difference struct{ Field, Now, Yours string }

// formOf is a key as its form shows it.
func (u *ui) formOf(k *apikey.Key) *keyForm {
	f := &keyForm{Name: k.Name, Description: k.Description, Expiry: "keep", Version: k.Version}
	for _, p := range k.Permissions {
		f.Permissions = append(f.Permissions, string(p))
	}
	if u.known != nil {
		for _, preset := range u.known.Presets {
			if preset.Permissions.Covers(k.Permissions) && k.Permissions.Covers(preset.Permissions) {
				f.Preset, f.Permissions = preset.Name, nil
				break
			}
		}
	}
	for _, n := range k.Networks {
		f.Networks += n.String() + "\n"
	}
	for _, l := range k.Limits {
		row := limitRow{Name: l.Name, N: strconv.Itoa(l.N), Per: strconv.FormatFloat(l.Per.Seconds(), 'f', -1, 64)}
		if l.Burst != 0 {
			row.Burst = strconv.Itoa(l.Burst)
		}
		if !l.Until.IsZero() {
			row.Until = l.Until.UTC().Format(time.RFC3339Nano)
		}
		f.Limits = append(f.Limits, row)
	}
	for name, value := range k.Metadata {
		f.Metadata = append(f.Metadata, metaRow{name, value})
	}
	slices.SortFunc(f.Metadata, func(a, b metaRow) int { return strings.Compare(a.Name, b.Name) })
	return f
}

func (u *ui) editKey(v *view) *problem {
	k, p := v.theKey()
	if p != nil {
		return p
	}
	if !k.RevokedAt.IsZero() {
		return toProblem(apikey.ErrRevoked)
	}
	return u.showEdit(v, &editView{Key: k, Form: u.formOf(k)})
}

func (u *ui) showEdit(v *view, out *editView) *problem {
	cat, _ := u.catalog(v.r.Context(), v.who, nil) // of the plan nothing is needed
	out.Choices = u.choices(v, out.Form, &cat.Body)
	out.State, out.Today = out.Key.State(v.who.now), v.who.now.UTC().Format(time.DateOnly)
	return v.show("edit", "Change "+out.Key.Name, out)
}

func (u *ui) saveKey(v *view) *problem {
	f := readKeyForm(v.form)
	k, p := v.theKey()
	if p != nil {
		return p
	}
	if k.Version != f.Version {
		return u.stale(v, k, f)
	}
	in := &updateIn{ID: k.ID, IfMatch: tag(k), Body: *u.changes(v, k, f)}
	if f.Faults != nil {
		return u.wrongEdit(v, k, f, problemOf(http.StatusUnprocessableEntity, "invalid", titleInvalid, detailInvalid))
	}
	_, err := u.update(v.r.Context(), v.who, in)
	if errors.Is(err, apikey.ErrVersion) {
		if k, p = v.theKey(); p != nil {
			return p
		}
		return u.stale(v, k, f)
	}
	if err != nil {
		return u.wrongEdit(v, k, f, toProblem(err))
	}
	return v.redirect("ui/keys/" + k.ID + "?done=saved")
}

func (u *ui) wrongEdit(v *view, k *apikey.Key, f *keyForm, p *problem) *problem {
	f.refused(p)
	v.Status = p.Status
	return u.showEdit(v, &editView{Key: k, Form: f, Problem: p})
}

// stale is 412, explained: the form keeps what was typed, and what it differs
// in from the key as it is now is named. Sent again, it applies.
func (u *ui) stale(v *view, k *apikey.Key, f *keyForm) *problem {
	f.Version, v.Status = k.Version, http.StatusPreconditionFailed
	return u.showEdit(v, &editView{Key: k, Form: f, Stale: true, Differs: u.differences(v, k, f)})
}

// changes are the fields in which the form differs from the key. What is the
// same is left out, so that nothing is asked of a person that they do not do.
func (u *ui) changes(v *view, k *apikey.Key, f *keyForm) *updateJSON {
	was, b := u.formOf(k), &updateJSON{}
	if f.Name != was.Name {
		b.Name = field[string]{set: true, value: f.Name}
	}
	if f.Description != was.Description {
		b.Description = field[string]{set: true, value: f.Description}
	}
	switch {
	case samePermissions(f, was):
	case f.Preset != "":
		b.Preset = field[string]{set: true, value: f.Preset}
	default:
		b.Permissions = field[apikey.Permissions]{set: true, value: f.permissions()}
	}
	if f.Expiry != "keep" {
		b.ExpiresAt = field[time.Time]{set: true, value: f.expires(v.who.now)}
	}
	if !slices.Equal(f.networks(), was.networks()) {
		b.Networks = field[[]string]{set: true, value: f.networks()}
	}
	if v.Operator() {
		if !slices.Equal(f.Limits, was.Limits) {
			b.Limits = field[[]limitJSON]{set: true, value: f.limits()}
		}
		if !slices.Equal(f.Metadata, was.Metadata) {
			b.Metadata = field[map[string]string]{set: true, value: f.metadata()}
		}
	}
	return b
}

func samePermissions(a, b *keyForm) bool {
	if a.Preset != "" || b.Preset != "" {
		return a.Preset == b.Preset
	}
	x, y := slices.Sorted(slices.Values(a.Permissions)), slices.Sorted(slices.Values(b.Permissions))
	return slices.Equal(slices.Compact(x), slices.Compact(y))
}

// differences are what a form would change, in words.
func (u *ui) differences(v *view, k *apikey.Key, f *keyForm) []difference {
	var out []difference
	was := u.formOf(k)
	add := func(name, now, yours string) { out = append(out, difference{name, or(now, "none"), or(yours, "none")}) }
	if f.Name != was.Name {
		add("Name", was.Name, f.Name)
	}
	if f.Description != was.Description {
		add("Description", was.Description, f.Description)
	}
	if !samePermissions(f, was) {
		words := func(f *keyForm) string { return or(f.Preset, strings.Join(f.Permissions, ", ")) }
		add("Permissions", words(was), words(f))
	}
	if f.Expiry != "keep" {
		now := "never"
		if !k.ExpiresAt.IsZero() {
			now = v.Date(k.ExpiresAt)
		}
		yours := map[string]string{"never": "never", "date": f.Date}[f.Expiry]
		add("Expiry", now, or(yours, "in "+f.Expiry+" days"))
	}
	if !slices.Equal(f.networks(), was.networks()) {
		add("Networks", strings.Join(was.networks(), ", "), strings.Join(f.networks(), ", "))
	}
	if v.Operator() && !slices.Equal(f.Limits, was.Limits) {
		add("Limits", fmt.Sprint(len(was.Limits)), fmt.Sprint(len(f.Limits)))
	}
	if v.Operator() && !slices.Equal(f.Metadata, was.Metadata) {
		add("Metadata", fmt.Sprint(len(was.Metadata)), fmt.Sprint(len(f.Metadata)))
	}
	return out
}

// rotateView is the form of a rotation.
type rotateView struct {
	Key     *apikey.Key
	Version int64
	State   apikey.State
	Old     *secretView // the earlier token, while it works
	Now     *secretView
	Grace   string
	Graces  []grace
	Foreign bool // the present token is of another system
	Stale   bool
	Problem *problem
}

type grace struct{ Seconds, Title, Text string }

var graces = []grace{
	{"3600", "1 hour", "When one deployment does it."},
	{"86400", "24 hours", "Time to put the new token in place everywhere. Right for most."},
	{"604800", "7 days", "When others have to put it in place."},
	{"2592000", "30 days", "The longest there is."},
	{"0", "None: stop the present token now", "When it may have leaked. Whatever still uses it fails at once."},
}

func (u *ui) askRotate(v *view) *problem {
	k, p := v.theKey()
	if p != nil {
		return p
	}
	if !k.RevokedAt.IsZero() {
		return toProblem(apikey.ErrRevoked)
	}
	return u.showRotate(v, k, &rotateView{Grace: graces[1].Seconds})
}

func (u *ui) showRotate(v *view, k *apikey.Key, out *rotateView) *problem {
	out.Key, out.Version, out.State, out.Graces = k, k.Version, k.State(v.who.now), graces
	all := tokens(k, v.who.now)
	if len(all) > 0 {
		out.Now, out.Foreign = &all[0], all[0].Scheme != ""
	}
	if len(all) > 1 && all[0].Works && all[1].Works {
		out.Old = &all[1]
	}
	return v.show("rotate", "Rotate "+k.Name, out)
}

func (u *ui) rotateKey(v *view) *problem {
	k, p := v.theKey()
	if p != nil {
		return p
	}
	asked := &rotateView{Grace: v.form.Get("grace")}
	if v.form.Get("version") != strconv.FormatInt(k.Version, 10) {
		asked.Stale, v.Status = true, http.StatusPreconditionFailed
		return u.showRotate(v, k, asked)
	}
	seconds, err := strconv.ParseInt(asked.Grace, 10, 64)
	if err != nil || seconds < 0 || seconds > 30*24*3600 {
		asked.Problem = problemOf(http.StatusUnprocessableEntity, "invalid", titleInvalid, "Choose how long the present token still works.")
		v.Status = http.StatusUnprocessableEntity
		return u.showRotate(v, k, asked)
	}
	issued, err := u.rotate(v.r.Context(), v.who, &rotateIn{ID: k.ID, IfMatch: tag(k), Body: &rotateJSON{
		GraceSeconds: seconds, EndOldest: v.form.Get("end_oldest") != "",
	}})
	if err != nil {
		asked.Stale = errors.Is(err, apikey.ErrVersion)
		asked.Problem = toProblem(err)
		v.Status = asked.Problem.Status
		if now, p := v.theKey(); p == nil {
			k = now
		}
		return u.showRotate(v, k, asked)
	}
	if now, p := v.theKey(); p == nil { // if not, the token is what matters
		k = now
	}
	out := &tokenView{Key: k, Token: issued.Body.Token, Rotated: true}
	if all := tokens(k, v.who.now); len(all) > 1 && all[1].Works && seconds > 0 {
		out.Old = &all[1].Secret
	}
	return u.showToken(v, out)
}

package keyadmin

import (
	"context"
	"net/http"
	"strconv"

	"github.com/go-apikey/apikey"
)

// action is a form that has one button.
type action struct {
	path     string // as in "ui/keys/{id}/disable"
	needs    ability
	operator bool
	done     string // word of the notice
	fresh    bool   // the form must be of the key's present version
	do       func(r *apikey.Keyring, ctx context.Context, id string) (*apikey.Key, error)
	confirm  func(v *view, k *apikey.Key, state apikey.State) (*confirmView, error) // nil: not asked for
}

// confirmView asks whether a person is sure.
type confirmView struct {
	Key     *apikey.Key
	State   apikey.State
	Verb    string // "Revoke"
	Path    string // of the form, relative to the mount
	Text    string // what follows from it
	Instead string // what might do too
	Problem *problem
}

func (u *ui) registerActions() {
	for _, a := range []action{
		{path: "disable", needs: revoke, done: "disabled", do: (*apikey.Keyring).Disable},
		{path: "enable", needs: change, done: "enabled", fresh: true, do: (*apikey.Keyring).Enable},
		{path: "hold", needs: revoke, operator: true, done: "held", do: (*apikey.Keyring).Hold},
		{path: "release", needs: change, operator: true, done: "released", fresh: true, do: (*apikey.Keyring).Release},
		{path: "end-rotation", needs: change, done: "ended", fresh: true, do: (*apikey.Keyring).EndRotation},
		{path: "revoke", needs: revoke, done: "revoked", do: (*apikey.Keyring).Revoke, confirm: confirmRevoke},
		{path: "delete", needs: revoke, done: "deleted", do: func(r *apikey.Keyring, ctx context.Context, id string) (*apikey.Key, error) {
			return nil, r.Delete(ctx, id)
		}, confirm: confirmDelete},
	} {
		u.post("/ui/keys/{id}/"+a.path, a.needs, u.act(a))
		if a.confirm != nil {
			u.get("/ui/keys/{id}/"+a.path, a.needs, u.ask(a))
		}
	}
}

// act does what a button says. A form that is older than the key is refused
// where it would let something through; to stop a key never waits.
func (u *ui) act(a action) func(*view) *problem {
	return func(v *view) *problem {
		if p := v.who.may(a.needs, a.operator); p != nil {
			return p
		}
		id := v.r.PathValue("id")
		if a.fresh {
			k, p := v.theKey()
			if p != nil {
				return p
			}
			if v.form.Get("version") != strconv.FormatInt(k.Version, 10) {
				return errStale
			}
		}
		if _, err := a.do(v.who.keys, v.r.Context(), id); err != nil {
			return toProblem(err)
		}
		if a.done == "deleted" {
			return v.redirect("?done=deleted")
		}
		return v.redirect("ui/keys/" + id + "?done=" + a.done)
	}
}

var errStale = problemOf(http.StatusPreconditionFailed, "changed", "The key was changed meanwhile",
	"Somebody changed this key after you opened its page, perhaps you in another tab. Nothing was changed now. Look at the key again and decide anew.")

func (u *ui) ask(a action) func(*view) *problem {
	return func(v *view) *problem {
		k, p := v.theKey()
		if p != nil {
			return p
		}
		out, err := a.confirm(v, k, k.State(v.who.now))
		if err != nil {
			return toProblem(err)
		}
		out.Key, out.State, out.Path = k, k.State(v.who.now), "ui/keys/"+k.ID+"/"+a.path
		return v.show("confirm", out.Verb+" "+k.Name, out)
	}
}

func confirmRevoke(_ *view, k *apikey.Key, _ apikey.State) (*confirmView, error) {
	if !k.RevokedAt.IsZero() {
		return nil, apikey.ErrRevoked
	}
	return &confirmView{
		Verb:    "Revoke",
		Text:    "Every token of this key stops working with the next request, for ever. Whatever uses it fails until it has another key.",
		Instead: "To stop it for a while, disable it instead: that can be undone.",
	}, nil
}

func confirmDelete(v *view, k *apikey.Key, _ apikey.State) (*confirmView, error) {
	if k.Live(v.who.now) {
		return nil, apikey.ErrLive
	}
	return &confirmView{
		Verb: "Delete",
		Text: "The key disappears from the list, with its counts. Its history stays. It cannot be brought back.",
	}, nil
}

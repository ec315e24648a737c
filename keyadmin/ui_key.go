package keyadmin

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/go-apikey/apikey"
)

// keyView is the page of a key.
type keyView struct {
	*apikey.Key
	State    apikey.State
	Tokens   []secretView
	Old      *secretView // the earlier token, while it works
	Due      bool
	Range    string
	Chart    *chart
	Changes  []changeView
	More     bool // there are earlier changes
	CanEnd   bool // it can be disabled, rotated and so on
	NoUsage  bool // the store does not keep it, or failed
	NoChange bool
}

type secretView struct {
	apikey.Secret
	LastUsed time.Time
	Works    bool
	Until    time.Time // the end of its grace
	Ended    time.Time
}

// changeView is an entry of the history.
type changeView struct {
	apikey.Change
	Name string // of the key, if it is known still
}

// fieldWords are fields of the history as the page calls them elsewhere.
var fieldWords = map[string]string{"secrets": "tokens", "expires_at": "expires", "not_before": "works from"}

// changeOf has lists of a change without their brackets.
func changeOf(c apikey.Change, name string) changeView {
	c.Fields = slices.Clone(c.Fields)
	for i := range c.Fields {
		c.Fields[i].Name = or(fieldWords[c.Fields[i].Name], c.Fields[i].Name)
		for _, s := range []*string{&c.Fields[i].Old, &c.Fields[i].New} {
			if inner, ok := strings.CutPrefix(*s, "["); ok && strings.HasSuffix(inner, "]") {
				*s = strings.TrimSuffix(inner, "]")
			}
		}
	}
	return changeView{c, name}
}

func (u *ui) key(v *view) *problem {
	k, p := v.theKey()
	if p != nil {
		return p
	}
	out := &keyView{Key: k, State: k.State(v.who.now), Due: u.due(v, k), Tokens: tokens(k, v.who.now)}
	out.CanEnd = k.RevokedAt.IsZero()
	if len(out.Tokens) > 1 && out.Tokens[0].Works && out.Tokens[1].Works && out.CanEnd {
		out.Old = &out.Tokens[1]
	}
	ctx := v.r.Context()
	span := spanOf(v.r.URL.Query().Get("range"))
	out.Range = span.name
	from := span.from(v.who.now)
	points, err := v.who.keys.Usage(ctx, k.ID, apikey.UsageQuery{From: from})
	if err != nil {
		out.NoUsage = true
	} else {
		out.Chart = newChart(span, from, points)
	}
	page, err := v.who.keys.History(ctx, apikey.HistoryQuery{KeyID: k.ID, Limit: 8})
	out.NoChange = err != nil
	for _, c := range page.Changes {
		out.Changes = append(out.Changes, changeOf(c, ""))
	}
	out.More = page.Next != ""
	return v.show("key", k.Name, out)
}

func tokens(k *apikey.Key, now time.Time) []secretView {
	var out []secretView
	for _, s := range k.Secrets {
		t := secretView{Secret: s, LastUsed: k.Usage.LastUsed[s.N], Works: s.Live(now)}
		switch {
		case !s.EndedAt.IsZero():
			t.Ended = s.EndedAt
		case !s.NotAfter.IsZero() && !t.Works:
			t.Ended = s.NotAfter
		default:
			t.Until = s.NotAfter
		}
		out = append(out, t)
	}
	return out
}

// historyView is the history of a key, or of all.
type historyView struct {
	Key     *apikey.Key // nil: of all
	ID      string
	Changes []changeView
	Next    string
	First   string
}

func (u *ui) allChanges(v *view) *problem {
	return u.showChanges(v, &historyView{}, "Activity")
}

func (u *ui) keyChanges(v *view) *problem {
	id := v.r.PathValue("id")
	k, p := v.theKey()
	if p != nil && p.Status != 404 {
		return p
	}
	if p != nil { // a key since deleted
		if !isID(id) {
			return p
		}
		there, err := anyChange(v.r.Context(), v.who, apikey.HistoryQuery{KeyID: id})
		if err != nil || !there {
			return cmp.Or(toProblem(err), p)
		}
		return u.showChanges(v, &historyView{ID: id}, "History of a deleted key")
	}
	return u.showChanges(v, &historyView{Key: k, ID: id}, "History of "+k.Name)
}

func (u *ui) showChanges(v *view, out *historyView, title string) *problem {
	ctx, after := v.r.Context(), v.r.URL.Query().Get("cursor")
	q := apikey.HistoryQuery{KeyID: out.ID, After: apikey.Cursor(after), Limit: uiPage}
	page, err := v.who.keys.History(ctx, q)
	for err == nil && len(page.Changes) == 0 && page.Next != "" {
		q.After = page.Next
		page, err = v.who.keys.History(ctx, q)
	}
	if err != nil {
		return toProblem(err)
	}
	names := u.names(v, page.Changes)
	for _, c := range page.Changes {
		out.Changes = append(out.Changes, changeOf(c, names[c.KeyID]))
	}
	if page.Next != "" {
		out.Next = string(page.Next)
	}
	if after != "" {
		out.First = "?"
	}
	return v.show("history", title, out)
}

// names are those of the keys of some changes. That they cannot be had does
// not hide the changes.
func (u *ui) names(v *view, changes []apikey.Change) map[string]string {
	var ids []string
	for _, c := range changes {
		if !slices.Contains(ids, c.KeyID) {
			ids = append(ids, c.KeyID)
		}
	}
	names := map[string]string{}
	q := apikey.Query{IDs: ids, Limit: maxPage}
	for len(ids) > 0 {
		page, err := v.who.keys.List(v.r.Context(), q)
		if err != nil {
			break
		}
		for _, k := range page.Keys {
			names[k.ID] = k.Name
		}
		if q.After = page.Next; q.After == "" {
			break
		}
	}
	return names
}

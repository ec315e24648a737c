package keyadmin

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-apikey/apikey"
)

func (a *api) registerMore() {
	get := func(path, id, summary string) call {
		return call{method: http.MethodGet, path: path, id: id, summary: summary, needs: see}
	}
	register(a, get("keys/{id}/usage", "get-usage", "What a key was used for, by the hour"), a.usage)
	register(a, get("keys/{id}/history", "get-key-history", "What was done to a key, newest first"), a.keyHistory)
	register(a, get("history", "get-history", "What was done to all keys, newest first"), a.history)
	register(a, get("catalog", "get-catalog", "What keys can be and may be here"), a.catalog)
	register(a, get("keys.csv", "list-keys-csv", "All keys, for a spreadsheet"), a.csv,
		answers(csvType, &huma.Schema{Type: huma.TypeString}))
	register(a, get("openapi.json", "get-openapi", "This document"), a.describe,
		answers("application/json", &huma.Schema{Type: huma.TypeObject}))
}

type usageIn struct {
	ID   string    `path:"id"`
	From time.Time `query:"from" doc:"The first hour; left out: the first that is kept."`
	To   time.Time `query:"to" doc:"Up to, not including, this; left out: to the last."`
}

type usageOut struct {
	Body usageJSON
}

type usageJSON struct {
	Points []pointJSON `json:"points" nullable:"false" doc:"Hours in which anything happened, oldest first."`
}

type pointJSON struct {
	At       time.Time `json:"at" doc:"The start of the hour."`
	Requests int64     `json:"requests"`
	Limited  int64     `json:"limited"`
	Denied   int64     `json:"denied"`
}

func (a *api) usage(ctx context.Context, who *admitted, in *usageIn) (*usageOut, error) {
	points, err := who.keys.Usage(ctx, in.ID, apikey.UsageQuery{From: in.From, To: in.To})
	if err != nil {
		return nil, err
	}
	out := &usageOut{Body: usageJSON{Points: make([]pointJSON, len(points))}}
	for i, p := range points {
		out.Body.Points[i] = pointJSON{At: p.Hour, Requests: p.Requests, Limited: p.Limited, Denied: p.Denied}
	}
	return out, nil
}

type historyOut struct {
	Body historyJSON
}

type historyJSON struct {
	Changes []changeJSON  `json:"changes" nullable:"false"`
	Next    apikey.Cursor `json:"next,omitempty" doc:"For cursor; left out: this was the last page."`
}

type changeJSON struct {
	At     time.Time `json:"at"`
	Actor  string    `json:"actor" doc:"Who did it; empty: the service itself."`
	Action string    `json:"action" doc:"create, update, disable, enable, hold, release, rotate, end-rotation, revoke, delete, …"`
	KeyID  string    `json:"key_id"`
	Detail string    `json:"detail" doc:"What it was before and after, for people."`
}

type historyIn struct {
	Cursor apikey.Cursor `query:"cursor" doc:"The next of the page before."`
	Limit  int           `query:"limit" minimum:"1" maximum:"1000" default:"50"`
}

func (a *api) history(ctx context.Context, who *admitted, in *historyIn) (*historyOut, error) {
	return changes(ctx, who, apikey.HistoryQuery{After: in.Cursor, Limit: in.Limit})
}

type keyHistoryIn struct {
	ID     string        `path:"id"`
	Cursor apikey.Cursor `query:"cursor" doc:"The next of the page before, for the same key."`
	Limit  int           `query:"limit" minimum:"1" maximum:"1000" default:"50"`
}

// keyHistory is also that of a key since deleted. Of any other that the owner
// does not have nothing was ever done.
func (a *api) keyHistory(ctx context.Context, who *admitted, in *keyHistoryIn) (*historyOut, error) {
	q := apikey.HistoryQuery{KeyID: in.ID, After: in.Cursor, Limit: in.Limit}
	_, err := who.keys.Get(ctx, in.ID)
	if errors.Is(err, apikey.ErrNotFound) && isID(in.ID) && in.Cursor == "" {
		if there, historyErr := anyChange(ctx, who, q); historyErr != nil || there {
			err = historyErr
		}
	}
	if err != nil && !(errors.Is(err, apikey.ErrNotFound) && in.Cursor != "") {
		return nil, err
	}
	return changes(ctx, who, q)
}

// isID reports whether s can be a key's ID: what cannot is not asked of a
// store, which might fail on it.
func isID(s string) bool {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	return s != "" && len(s) <= 32 && strings.Trim(s, digits) == ""
}

// anyChange reports whether q finds anything, on any page.
func anyChange(ctx context.Context, who *admitted, q apikey.HistoryQuery) (bool, error) {
	for {
		page, err := who.keys.History(ctx, q)
		if err != nil || len(page.Changes) > 0 || page.Next == "" {
			return len(page.Changes) > 0, err
		}
		q.After = page.Next
	}
}

func changes(ctx context.Context, who *admitted, q apikey.HistoryQuery) (*historyOut, error) {
	page, err := who.keys.History(ctx, q)
	if err != nil {
		return nil, err
	}
	out := &historyOut{Body: historyJSON{Changes: make([]changeJSON, len(page.Changes)), Next: page.Next}}
	for i, c := range page.Changes {
		out.Body.Changes[i] = changeJSON{At: c.At, Actor: c.Actor, Action: c.Action, KeyID: c.KeyID, Detail: detail(c.Fields)}
	}
	return out, nil
}

// detail is what changed, in a line.
func detail(fields []apikey.FieldChange) string {
	var parts []string
	for _, f := range fields {
		switch {
		case f.Old == "" && f.New == "": // that it changed is all that is kept
			parts = append(parts, f.Name)
		case f.Old == "":
			parts = append(parts, f.Name+": "+f.New)
		case f.New == "":
			parts = append(parts, f.Name+": "+f.Old+" → none")
		default:
			parts = append(parts, f.Name+": "+f.Old+" → "+f.New)
		}
	}
	return strings.Join(parts, "; ")
}

type describeOut struct {
	ContentType string `header:"Content-Type" hidden:"true"`
	Body        func(huma.Context)
}

func (a *api) describe(context.Context, *admitted, *struct{}) (*describeOut, error) {
	return &describeOut{ContentType: "application/json", Body: func(ctx huma.Context) {
		_, _ = ctx.BodyWriter().Write(a.openapi) // if not, the client is gone
	}}, nil
}

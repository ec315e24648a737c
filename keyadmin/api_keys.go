package keyadmin

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-apikey/apikey"
)

func (a *api) registerKeys() {
	register(a, call{method: http.MethodGet, path: "keys", id: "list-keys", summary: "List keys, newest first", needs: see}, a.list)
	register(a, call{method: http.MethodPost, path: "keys", id: "create-key", summary: "Create a key", needs: create, status: http.StatusCreated}, a.create)
	register(a, call{method: http.MethodGet, path: "keys/{id}", id: "get-key", summary: "Get a key", needs: see}, a.get)
	register(a, call{method: http.MethodPatch, path: "keys/{id}", id: "update-key", summary: "Change a key", needs: change}, a.update)
	register(a, call{method: http.MethodDelete, path: "keys/{id}", id: "delete-key", summary: "Delete a revoked or expired key", needs: revoke}, a.remove)
}

// listIn narrows a list and says where its page begins. huma does not look
// into embedded types that are not exported, so fields stand where they are
// asked for.
type listIn struct {
	State         []apikey.State `query:"state" enum:"active,scheduled,expired,disabled,held,revoked" doc:"One of these, separated by commas."`
	Q             string         `query:"q" doc:"A part of the name or description, in any letter case; up to 256 bytes."`
	Environment   string         `query:"environment"`
	UnusedSince   time.Time      `query:"unused_since" doc:"Last used, or made if never used, before this."`
	RotatedBefore time.Time      `query:"rotated_before" doc:"Whose newest token was made before this."`
	ExpiresBefore time.Time      `query:"expires_before" doc:"That expire, and do so before this."`
	Cursor        apikey.Cursor  `query:"cursor" doc:"The next of the page before, for the same filters."`
	Limit         int            `query:"limit" minimum:"1" maximum:"1000" default:"50"`
}

type listOut struct {
	Body pageJSON
}

type pageJSON struct {
	Keys []keyJSON     `json:"keys" nullable:"false"`
	Next apikey.Cursor `json:"next,omitempty" doc:"For cursor; left out: this was the last page."`
}

func (a *api) list(ctx context.Context, who *admitted, in *listIn) (*listOut, error) {
	page, err := who.keys.List(ctx, apikey.Query{
		Text: in.Q, Environment: in.Environment, States: in.State, UnusedSince: in.UnusedSince,
		RotatedBefore: in.RotatedBefore, ExpiresBefore: in.ExpiresBefore, After: in.Cursor, Limit: in.Limit,
	})
	if err != nil {
		return nil, err
	}
	out := &listOut{Body: pageJSON{Keys: make([]keyJSON, len(page.Keys)), Next: page.Next}}
	for i, k := range page.Keys {
		out.Body.Keys[i] = who.show(k)
	}
	return out, nil
}

type createIn struct {
	Body createJSON
}

// createJSON is a new key.
type createJSON struct {
	Name        string             `json:"name" minLength:"1" maxLength:"256"`
	Description string             `json:"description,omitzero" maxLength:"1024"`
	Prefix      string             `json:"prefix,omitzero" doc:"Of the catalog's formats; left out: the first, in the environment if that is given."`
	Environment string             `json:"environment,omitzero"`
	Permissions apikey.Permissions `json:"permissions,omitzero" maxItems:"1000" doc:"Left out, or empty: it may do nothing that asks for a permission."`
	Preset      string             `json:"preset,omitzero" doc:"Of the catalog, in place of permissions."`
	ExpiresAt   time.Time          `json:"expires_at,omitzero" doc:"Left out: never."`
	NotBefore   time.Time          `json:"not_before,omitzero" doc:"Left out: it works at once."`
	Networks    []string           `json:"networks,omitzero" maxItems:"64" doc:"From where it works, such as 192.0.2.0/24; left out: from anywhere."`
	Limits      []limitJSON        `json:"limits,omitzero" maxItems:"16" doc:"Operators only."`
	Metadata    map[string]string  `json:"metadata,omitzero" maxProperties:"32" doc:"Operators only; up to 4 KiB."`
}

// issuedJSON is the one answer that shows a token.
type issuedJSON struct {
	Key   keyJSON `json:"key"`
	Token string  `json:"token" doc:"It is not shown again."`
}

type createOut struct {
	Location string `header:"Location" doc:"Of the key."`
	ETag     string `header:"ETag"`
	Body     issuedJSON
}

func (a *api) create(ctx context.Context, who *admitted, in *createIn) (*createOut, error) {
	p := problemOf(http.StatusUnprocessableEntity, "invalid", titleInvalid, detailInvalid)
	b := &in.Body
	params := apikey.KeyParams{
		Name: b.Name, Description: b.Description, Prefix: b.Prefix, Environment: b.Environment, Permissions: b.Permissions,
		NotBefore: b.NotBefore, ExpiresAt: b.ExpiresAt, Networks: prefixes(b.Networks, p), Limits: overrides(b.Limits), Metadata: b.Metadata,
	}
	if b.Preset != "" {
		params.Permissions = a.preset(b.Preset, b.Permissions, p)
	}
	switch {
	case p.Errors != nil:
		return nil, p
	case !who.operator() && (len(b.Limits) > 0 || len(b.Metadata) > 0):
		return nil, errOperator
	}
	issued, err := who.keys.Create(ctx, params)
	if err != nil {
		return nil, err
	}
	out := &createOut{
		Location: who.base + "/keys/" + issued.Key.ID,
		ETag:     tag(issued.Key),
		Body:     issuedJSON{Key: who.show(issued.Key), Token: issued.Token.Reveal()},
	}
	if !who.baseKnown {
		out.Location = "keys/" + issued.Key.ID
	}
	return out, nil
}

type keyIn struct {
	ID string `path:"id"`
}

func (a *api) get(ctx context.Context, who *admitted, in *keyIn) (*keyOut, error) {
	k, err := who.keys.Get(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return who.keyOf(k), nil
}

// version is the one that a change is for by its If-Match: 0 for any, −1 for
// none that there is.
func (a *admitted) version(ctx context.Context, id, ifMatch string) (int64, error) {
	if ifMatch == "" || strings.TrimSpace(ifMatch) == "*" {
		return 0, nil
	}
	var versions []int64
	for one := range strings.SplitSeq(ifMatch, ",") { // weak ones never match (RFC 9110, 13.1.1)
		digits, quoted := strings.CutPrefix(strings.TrimSpace(one), `"`)
		digits, closed := strings.CutSuffix(digits, `"`)
		if v, err := strconv.ParseInt(digits, 10, 64); err == nil && quoted && closed && v > 0 {
			versions = append(versions, v)
		}
	}
	if len(versions) == 1 {
		return versions[0], nil
	}
	k, err := a.keys.Get(ctx, id)
	if err != nil {
		return 0, err
	}
	for _, v := range versions {
		if v == k.Version {
			return v, nil
		}
	}
	return -1, nil
}

type updateIn struct {
	ID      string `path:"id"`
	IfMatch string `header:"If-Match" doc:"Change only if the ETag is this one."`
	Body    updateJSON
}

// updateJSON is what to change of a key. null empties a field.
type updateJSON struct {
	Name        field[string]             `json:"name,omitzero" minLength:"1" maxLength:"256" nullable:"false"`
	Description field[string]             `json:"description,omitzero" maxLength:"1024"`
	Permissions field[apikey.Permissions] `json:"permissions,omitzero" maxItems:"1000"`
	Preset      field[string]             `json:"preset,omitzero" doc:"Of the catalog, in place of permissions." nullable:"false"`
	ExpiresAt   field[time.Time]          `json:"expires_at,omitzero"`
	NotBefore   field[time.Time]          `json:"not_before,omitzero"`
	Networks    field[[]string]           `json:"networks,omitzero" maxItems:"64"`
	Limits      field[[]limitJSON]        `json:"limits,omitzero" maxItems:"16" doc:"Operators only."`
	Metadata    field[map[string]string]  `json:"metadata,omitzero" maxProperties:"32" doc:"Operators only; up to 4 KiB."`
}

func (a *api) update(ctx context.Context, who *admitted, in *updateIn) (*keyOut, error) {
	u, err := a.keyUpdate(&in.Body)
	if err != nil {
		return nil, err
	}
	if !who.operator() && (u.Limits != nil || u.Metadata != nil) {
		return nil, errOperator
	}
	if u.IfVersion, err = who.version(ctx, in.ID, in.IfMatch); err != nil {
		return nil, err
	}
	k, err := who.keys.Update(ctx, in.ID, *u)
	if err != nil {
		return nil, err
	}
	return who.changed(ctx, k), nil
}

// keyUpdate is b as the library has it.
func (a *api) keyUpdate(b *updateJSON) (*apikey.KeyUpdate, error) {
	p := problemOf(http.StatusUnprocessableEntity, "invalid", titleInvalid, detailInvalid)
	u := &apikey.KeyUpdate{
		Name: b.Name.pointer(), Description: b.Description.pointer(), Permissions: b.Permissions.pointer(),
		NotBefore: b.NotBefore.pointer(), ExpiresAt: b.ExpiresAt.pointer(), Metadata: b.Metadata.pointer(),
	}
	if b.Preset.set {
		permissions := a.preset(b.Preset.value, b.Permissions.value, p)
		u.Permissions = &permissions
	}
	if b.Networks.set {
		u.Networks = new(prefixes(b.Networks.value, p))
	}
	if b.Limits.set {
		u.Limits = new(overrides(b.Limits.value))
	}
	if p.Errors != nil {
		return nil, p
	}
	return u, nil
}

func (a *api) remove(ctx context.Context, who *admitted, in *keyIn) (*struct{}, error) {
	return nil, who.keys.Delete(ctx, in.ID)
}

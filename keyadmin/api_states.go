package keyadmin

import (
	"context"
	"net/http"
	"time"

	"github.com/go-apikey/apikey"
)

func (a *api) registerStates() {
	post := func(verb, id, summary string, needs ability) call {
		return call{method: http.MethodPost, path: "keys/{id}/" + verb, id: id, summary: summary, needs: needs}
	}
	hold := post("hold", "hold-key", "Stop a key until it is released", revoke)
	release := post("release", "release-key", "Let a held key work again", change)
	hold.operator, release.operator = true, true
	revokeKey := post("revoke", "revoke-key", "Stop a key for ever", revoke)
	revokeKey.status = http.StatusNoContent

	register(a, post("disable", "disable-key", "Stop a key until it is enabled", revoke), state((*apikey.Keyring).Disable))
	register(a, post("enable", "enable-key", "Let a disabled key work again", change), state((*apikey.Keyring).Enable))
	register(a, hold, state((*apikey.Keyring).Hold))
	register(a, release, state((*apikey.Keyring).Release))
	register(a, post("end-rotation", "end-rotation", "Stop a key's earlier token", change), state((*apikey.Keyring).EndRotation))
	register(a, revokeKey, a.revoke)
	register(a, post("rotate", "rotate-key", "Give a key a new token", change), a.rotate)
}

// state is the call of a verb that takes a key and shows it after.
func state(verb func(*apikey.Keyring, context.Context, string) (*apikey.Key, error)) func(context.Context, *admitted, *keyIn) (*keyOut, error) {
	return func(ctx context.Context, who *admitted, in *keyIn) (*keyOut, error) {
		k, err := verb(who.keys, ctx, in.ID)
		if err != nil {
			return nil, err
		}
		return who.changed(ctx, k), nil
	}
}

func (a *api) revoke(ctx context.Context, who *admitted, in *keyIn) (*struct{}, error) {
	_, err := who.keys.Revoke(ctx, in.ID)
	return nil, err
}

type rotateIn struct {
	ID      string `path:"id"`
	IfMatch string `header:"If-Match" doc:"Rotate only if the ETag is this one."`
	Body    *rotateJSON
}

type issuedOut struct {
	ETag string `header:"ETag"`
	Body issuedJSON
}

// rotateJSON is how a key gets a new token. Without a body: the present one
// stops at once.
type rotateJSON struct {
	GraceSeconds int64  `json:"grace_seconds,omitzero" minimum:"0" maximum:"2592000" doc:"How long the present token still works; 0: all earlier ones stop now."`
	Prefix       string `json:"prefix,omitzero" doc:"Of the new token; left out: that of the present one."`
	EndOldest    bool   `json:"end_oldest,omitzero" doc:"With two tokens that work: end the older one."`
}

func (a *api) rotate(ctx context.Context, who *admitted, in *rotateIn) (*issuedOut, error) {
	var b rotateJSON
	if in.Body != nil {
		b = *in.Body
	}
	version, err := who.version(ctx, in.ID, in.IfMatch)
	if err != nil {
		return nil, err
	}
	issued, err := who.keys.Rotate(ctx, in.ID, apikey.RotateParams{
		Grace: time.Duration(b.GraceSeconds) * time.Second, Prefix: b.Prefix, EndOldest: b.EndOldest, IfVersion: version,
	})
	if err != nil {
		return nil, err
	}
	shown := who.changed(ctx, issued.Key)
	return &issuedOut{ETag: shown.ETag, Body: issuedJSON{Key: shown.Body, Token: issued.Token.Reveal()}}, nil
}

package leak

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-apikey/apikey"
)

// handle looks a token up and does what is to be done. An error means that it
// is to be reported again.
func (h *Handler) handle(ctx context.Context, f *find) (done Action, err error) {
	defer func() {
		if p := recover(); p != nil { // of a host's function: in a goroutine of ours it would end the program
			done, err = "", fmt.Errorf("%w: panic: %v", ErrPolicy, p)
		}
	}()
	if err := ctx.Err(); err != nil {
		return "", err
	}
	key, state, err := h.keys.Lookup(ctx, f.token)
	if errors.Is(err, apikey.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	f.ours = true
	f.report.Key, f.report.State = key, state
	if !state.Live || !key.RevokedAt.IsZero() {
		return "", nil
	}
	ring, id := h.keys.Keyring(key.Owner, apikey.Operator(ActorID)), key.ID // before the host has its hands on key
	action, err := h.cfg.Policy(ctx, f.report)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrPolicy, err)
	}
	return h.act(ctx, action, ring, id, f.token)
}

// act does what the policy decided, and says what was done.
func (h *Handler) act(ctx context.Context, action Action, ring *apikey.Keyring, id, token string) (Action, error) {
	var err error
	switch action {
	case Revoke:
		_, err = ring.Revoke(ctx, id)
	case Hold:
		_, err = ring.Hold(ctx, id)
	case Disable:
		_, err = ring.Disable(ctx, id)
	case EndSecret:
		err = h.endSecret(ctx, ring, id, token)
		if errors.Is(err, apikey.ErrPlan) || errors.Is(err, apikey.ErrFormat) {
			action = Hold
			_, err = ring.Hold(ctx, id)
		}
	case Observe:
	default:
		return "", fmt.Errorf("%w: there is no action %q", ErrPolicy, string(action))
	}
	if err != nil && !gone(err) {
		return "", err
	}
	return action, nil
}

// gone reports whether the key was revoked or deleted meanwhile.
func gone(err error) bool {
	return errors.Is(err, apikey.ErrRevoked) || errors.Is(err, apikey.ErrNotFound)
}

// endSecret ends a live token of a key, and no other. The older one of two just
// ends; the newest has to be replaced, for a key is never without one.
func (h *Handler) endSecret(ctx context.Context, ring *apikey.Keyring, id, token string) error {
	for {
		key, state, err := h.keys.Lookup(ctx, token)
		if err != nil || !state.Live {
			return err
		}
		if state.N != key.Secrets[0].N {
			if _, err := ring.EndRotation(ctx, id); err != nil {
				return err
			}
			continue // it has ended, unless somebody rotated the key meanwhile
		}
		p := apikey.RotateParams{IfVersion: key.Version}
		if len(key.Secrets) > 1 && key.Secrets[1].Live(time.Now()) {
			p.Replace = state.N // the one before did not leak, and stays as it is
		}
		issued, err := ring.Rotate(ctx, id, p)
		if errors.Is(err, apikey.ErrVersion) {
			continue // somebody changed it meanwhile, perhaps rotated it: their new token must live
		}
		if err == nil && h.cfg.Deliver != nil {
			h.cfg.Deliver(ctx, issued)
		}
		return err
	}
}

// scrub takes the tokens out of a text: these, and all that look like the
// Manager's own.
func (h *Handler) scrub(text string, tokens ...string) string {
	for _, token := range tokens {
		if token != "" {
			text = strings.ReplaceAll(text, token, "[token]")
		}
	}
	for _, pattern := range h.patterns {
		text = pattern.ReplaceAllLiteralString(text, "[token]")
	}
	return text
}

package apikey

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Update changes what u sets. [ErrNotFound], [ErrRevoked], [ErrVersion]; and
// [ErrKeyQuota] or [ErrPlan] if a later expiry would raise the number of live
// keys above the plan's.
func (r *Keyring) Update(ctx context.Context, id string, u KeyUpdate) (*Key, error) {
	if u.Limits != nil || u.Metadata != nil {
		if err := r.beginAsOperator(ctx, "sets limits and metadata"); err != nil {
			return nil, err
		}
	}
	return r.modify(ctx, id, "update", withCeiling, func(d *document, now time.Time) (bool, error) {
		if err := changeable(d, u.IfVersion); err != nil {
			return false, err
		}
		return u.apply(&d.key, r.m.cfg.Catalog, now)
	})
}

// changeable is why a key cannot be changed at all.
func changeable(d *document, ifVersion int64) error {
	if ifVersion != 0 && ifVersion != d.key.Version {
		return ErrVersion
	}
	if !d.key.RevokedAt.IsZero() {
		return ErrRevoked
	}
	return nil
}

// Disable stops a key until Enable. Anybody who may see the owner may do it.
// [ErrNotFound], [ErrRevoked].
func (r *Keyring) Disable(ctx context.Context, id string) (*Key, error) {
	return r.modify(ctx, id, "disable", anyActor, r.setTime(func(k *Key) *time.Time { return &k.DisabledAt }))
}

// Enable undoes Disable, not Hold. [ErrNotFound], [ErrRevoked].
func (r *Keyring) Enable(ctx context.Context, id string) (*Key, error) {
	return r.modify(ctx, id, "enable", withCeiling, r.clearTime(func(k *Key) *time.Time { return &k.DisabledAt }))
}

// Hold stops a key until Release; only an operator can do either.
// [ErrNotFound], [ErrRevoked].
func (r *Keyring) Hold(ctx context.Context, id string) (*Key, error) {
	if err := r.beginAsOperator(ctx, "holds keys"); err != nil {
		return nil, err
	}
	return r.modify(ctx, id, "hold", anyActor, r.setTime(func(k *Key) *time.Time { return &k.HeldAt }))
}

// Release undoes Hold. [ErrNotFound], [ErrRevoked].
func (r *Keyring) Release(ctx context.Context, id string) (*Key, error) {
	if err := r.beginAsOperator(ctx, "releases keys"); err != nil {
		return nil, err
	}
	return r.modify(ctx, id, "release", withCeiling, r.clearTime(func(k *Key) *time.Time { return &k.HeldAt }))
}

// setTime sets one of a key's times to now, unless it is set.
func (r *Keyring) setTime(field func(*Key) *time.Time) edit {
	return func(d *document, now time.Time) (bool, error) {
		if t := field(&d.key); t.IsZero() {
			*t = now
			return true, changeable(d, 0)
		}
		return false, changeable(d, 0)
	}
}

func (r *Keyring) clearTime(field func(*Key) *time.Time) edit {
	return func(d *document, _ time.Time) (bool, error) {
		if t := field(&d.key); !t.IsZero() {
			*t = time.Time{}
			return true, changeable(d, 0)
		}
		return false, changeable(d, 0)
	}
}

// Revoke stops a key for ever. Anybody who may see the owner may do it; doing
// it again changes nothing and is no error. [ErrNotFound].
func (r *Keyring) Revoke(ctx context.Context, id string) (*Key, error) {
	return r.modify(ctx, id, "revoke", anyActor, revoke)
}

func revoke(d *document, now time.Time) (bool, error) {
	if !d.key.RevokedAt.IsZero() {
		return false, nil
	}
	d.key.RevokedAt = now
	return true, nil
}

// RevokeAll revokes every key of the owner, going round until a whole pass
// finds none left, so that what is created meanwhile is revoked too. It returns
// how many it revoked, also with an error; repeating it goes on.
func (r *Keyring) RevokeAll(ctx context.Context) (int, error) {
	n := 0
	q := Query{States: []State{StateActive, StateScheduled, StateExpired, StateDisabled, StateHeld}, Limit: maxPage}
	for found := false; ; found = false {
		for q.After = ""; ; {
			page, err := r.List(ctx, q)
			if err != nil {
				return n, err
			}
			for _, k := range page.Keys {
				switch _, err := r.Revoke(ctx, k.ID); {
				case err == nil:
					found = true
					n++
				case !errors.Is(err, ErrNotFound):
					return n, err
				}
			}
			if q.After = page.Next; q.After == "" {
				break
			}
		}
		if !found {
			return n, nil
		}
	}
}

// Delete forgets a revoked or expired key, with its usage. Its ID stays taken
// and its history stays. An expired key is revoked first, so that nobody can
// prolong it in between. [ErrNotFound], [ErrLive].
func (r *Keyring) Delete(ctx context.Context, id string) error {
	key, err := r.modify(ctx, id, "revoke", withCeiling, func(d *document, now time.Time) (bool, error) {
		if d.key.Live(now) {
			return false, ErrLive
		}
		return revoke(d, now)
	})
	if err != nil {
		return err
	}
	w := Write{Change: r.change("delete", r.m.nowMicro(), key, key), MaxKeys: NoCap}
	if err := r.write(ctx, id, func(ctx context.Context) error { return r.m.primary.Delete(ctx, id, w) }); err != nil {
		return err
	}
	r.changed(ctx, &w.Change)
	return nil
}

// RotateParams says how a key gets a new token.
type RotateParams struct {
	Grace     time.Duration // how long the present token still works; 0: all earlier ones stop now; at most 30 days
	Prefix    string        // of the new token's format, which must have the same environment and IDLen; "": that of the present one, or the first such format that is issued
	EndOldest bool          // with two live tokens: end the older one instead of refusing
	Replace   uint32        // the Secret.N of the newest token, if nobody has it because the outcome of making it was unknown: the new one takes its place, and the one before stays as it is; 0: none
	IfVersion int64         // 0: whatever the version is
}

const maxGrace = 30 * 24 * time.Hour

// Rotate gives the key a new token. The key stays the same: ID, permissions,
// limits and usage. Never more than two of its tokens work. [ErrNotFound],
// [ErrRevoked], [ErrVersion], [ErrFormat], [ErrPlan]; [ErrRotating] if two work
// already, Grace is not 0 and EndOldest is not set.
//
// When the outcome is not known, Get the key: if it has a secret that it had
// not before, that token is lost, and Rotate with Replace puts another in its
// place, while the token that clients use keeps working until its deadline.
func (r *Keyring) Rotate(ctx context.Context, id string, p RotateParams) (*Issued, error) {
	if err := r.begin(ctx); err != nil {
		return nil, err
	}
	if p.Grace < 0 || p.Grace > maxGrace {
		return nil, &InvalidError{Fields: []FieldError{{"Grace", fmt.Sprintf("must be 0 to %v", maxGrace)}}}
	}
	if _, err := r.quota(ctx); errors.Is(err, ErrPlan) { // that the plan cannot be asked keeps nobody from rotating a leaked token
		return nil, err
	}
	var token Token
	key, err := r.modify(ctx, id, "rotate", withCeiling, func(d *document, now time.Time) (bool, error) {
		if err := changeable(d, p.IfVersion); err != nil {
			return false, err
		}
		format, err := r.m.rotateFormat(&d.key, p.Prefix)
		if err != nil {
			return false, err
		}
		if err := d.mayRotate(now, &p); err != nil {
			return false, err
		}
		token, _ = format.issue(d.key.ID)
		d.rotate(now, &p, format.Prefix, r.m.hasher.digest(token.Reveal()))
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	return &Issued{Key: key, Token: token}, nil
}

// mayRotate is why d cannot get another secret as p says.
func (d *document) mayRotate(now time.Time, p *RotateParams) error {
	if p.Replace != 0 {
		if p.Replace != d.key.Secrets[0].N || len(d.key.Secrets) < 2 {
			return ErrVersion
		}
		return nil
	}
	live := 0
	for i := range d.key.Secrets {
		if d.key.Secrets[i].Live(now) {
			live++
		}
	}
	if live == maxSecrets && p.Grace > 0 && !p.EndOldest {
		return ErrRotating
	}
	return nil
}

// rotate puts a new secret before the present one, which gets a deadline. Of
// earlier ones nothing is kept: they are dead.
func (d *document) rotate(now time.Time, p *RotateParams, prefix string, digest Digest) {
	i := 0 // of the one that stays beside the new one
	n := d.key.Secrets[0].N + 1
	if p.Replace != 0 {
		i = 1
	}
	old := d.key.Secrets[i]
	switch {
	case p.Replace != 0 || !old.Live(now): // it stays as it is
	case p.Grace == 0:
		old.EndedAt = now
	default:
		old.NotAfter = now.Add(p.Grace).Truncate(time.Microsecond)
	}
	d.key.Secrets = []Secret{{N: n, Prefix: prefix, CreatedAt: now}, old}
	d.digests = []Digest{digest, d.digests[i]}
}

// EndRotation ends the earlier token of a key that has two. Ending what has
// ended changes nothing. [ErrNotFound], [ErrRevoked].
func (r *Keyring) EndRotation(ctx context.Context, id string) (*Key, error) {
	return r.modify(ctx, id, "end-rotation", withCeiling, func(d *document, now time.Time) (bool, error) {
		if err := changeable(d, 0); err != nil || len(d.key.Secrets) < 2 || !d.key.Secrets[1].Live(now) {
			return false, err
		}
		d.key.Secrets[1].EndedAt = now
		return true, nil
	})
}

// rotateFormat is the format of a key's new token.
func (m *Manager) rotateFormat(k *Key, prefix string) (*Format, error) {
	present := k.Secrets[0].Prefix
	var found *Format
	for i := range m.formats {
		f := &m.formats[i]
		if f.NoIssue || f.Environment != k.Environment || f.IDLen != len(k.ID) {
			continue
		}
		if f.Prefix == prefix || prefix == "" && f.Prefix == present {
			return f, nil
		}
		if found == nil && prefix == "" {
			found = f
		}
	}
	if found == nil {
		return nil, ErrFormat
	}
	return found, nil
}

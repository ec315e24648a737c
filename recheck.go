package apikey

import (
	"context"
	"errors"
)

// Recheck says whether p is still good: for streams and WebSockets that
// outlive a request. Errors are those of [Manager.Verify]. It is a denial when
// the key or the secret that was used has ended, the plan refuses keys, or the
// key may do less than p says. It takes nothing from limits and counts nothing.
func (m *Manager) Recheck(ctx context.Context, p *Principal) error {
	if m.closed.Load() {
		return ErrClosed
	}
	if p == nil || p.pub == "" {
		return &Denial{Reason: ReasonMissing}
	}
	gone := &Denial{Reason: ReasonInvalid, KeyID: p.KeyID(), Owner: p.Owner()}
	rec, err := m.record(ctx, p.KeyID())
	if errors.Is(err, ErrNotFound) {
		return gone
	}
	if err != nil {
		return err
	}
	var v vitals
	rec.vitals(&v)
	secret := -1
	for i := range v.n {
		if v.secrets[i].n == p.secret {
			secret = i
		}
	}
	if secret < 0 {
		gone.Reason = ReasonRotated
		return gone
	}
	now := m.now()
	if gone.Reason = v.refuse(secret, now.UnixMicro()); gone.Reason != "" {
		return gone
	}
	old, planUntil := m.lastUse(rec)
	u, err := m.use(ctx, rec, old, planUntil, &v, now)
	if err != nil {
		return err
	}
	current, _, _ := u.of(secret)
	denial := u.refuse(current, &attempt{})
	if denial == nil && !current.permissions().Covers(p.permissions()) {
		denial = &Denial{Reason: ReasonPermission}
	}
	if denial != nil {
		denial.KeyID, denial.Owner = gone.KeyID, gone.Owner
		return denial
	}
	return nil
}

package apikey

import (
	"context"
	"net/netip"
	"time"
)

// EventKind says what happened.
type EventKind string

// The kinds of an [Event].
const (
	EventChanged     EventKind = "changed"      // a key was created or changed; Change is set
	EventDenied      EventKind = "denied"       // a request was refused; Reason is set
	EventUnavailable EventKind = "unavailable"  // a request failed with an *UnavailableError; Err is set
	EventCost        EventKind = "cost"         // a request cost more than a burst: ErrCost
	EventFlushFailed EventKind = "flush_failed" // usage could not be stored and will be repeated; Err is set
	EventRehash      EventKind = "rehash"       // a digest could not be replaced; Err is set
)

// Event is something that happened, for logs, alerts and metrics. It holds no
// secret.
type Event struct {
	Kind   EventKind
	At     time.Time
	KeyID  string // of a proven secret or a managed key, else ""
	Owner  string // likewise
	Reason Reason
	Peer   netip.Addr // the zero Addr: not known
	Change *Change    // shared and read-only
	Err    error
}

// emit hands e to the host, in line. A panic in the host's function is
// swallowed and counted: an event must not refuse a request.
func (m *Manager) emit(ctx context.Context, e Event) {
	if m.cfg.OnEvent == nil {
		return
	}
	defer func() {
		if recover() != nil {
			m.eventPanics.Add(1)
		}
	}()
	m.cfg.OnEvent(ctx, e)
}

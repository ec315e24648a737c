package apikey

import (
	"context"
	"sync"
	"time"
)

// deadline is a context that ends with its parent, when its timeout has
// passed, or when it is stopped. The timer is made when somebody first waits:
// until then it costs one small allocation.
type deadline struct {
	context.Context // the parent
	timeout         time.Duration

	mu     sync.Mutex
	timed  context.Context // nil until somebody waits
	cancel context.CancelFunc
}

func (d *deadline) start() context.Context {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timed == nil {
		d.timed, d.cancel = context.WithTimeout(d.Context, d.timeout)
	}
	return d.timed
}

// current is the timed context if there is one, else the parent.
func (d *deadline) current() context.Context {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timed == nil {
		return d.Context
	}
	return d.timed
}

func (d *deadline) Deadline() (time.Time, bool) { return d.start().Deadline() }
func (d *deadline) Done() <-chan struct{}       { return d.start().Done() }
func (d *deadline) Err() error                  { return d.current().Err() }
func (d *deadline) Value(key any) any           { return d.current().Value(key) }

// stop releases the timer. Who still holds the context after it finds it ended
// if they had waited on it, and may not use it otherwise: see [Store].
func (d *deadline) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cancel != nil {
		d.cancel()
	}
}

package sqlstore

import (
	"context"
	"errors"
	"sync"
	"time"
)

// maxTold is how many changes one poll tells of; with more it says "forget all".
const maxTold = 5000

// feed finds the changes that were committed since it last looked. The history
// is what it reads: it has a row for every write.
type feed interface {
	// begin forgets what was before.
	begin(ctx context.Context) error
	// next returns the changes since; all if there may be others.
	next(ctx context.Context) (refs []string, all bool, err error)
}

// Watch is as [apikey.Watcher] says. It polls each Config.PollInterval, misses
// no change however late its transaction commits, and tells of each once. On
// MySQL and MariaDB that is so but for a transaction that was under way already
// when Watch began, or began again after an error, and 1,000 changes before. While
// the database fails it goes on trying, and calls changed(nil) when it is back;
// it returns when ctx ends, or for an [ErrSchema].
func (s *Store) Watch(ctx context.Context, changed func(refs []string)) error {
	ctx = WithTx(ctx, nil)
	wake, stop := s.listen(ctx)
	defer stop()
	var f feed
	for {
		if f == nil {
			f = s.newFeed()
			if err := f.begin(ctx); err != nil {
				f = nil
				if errors.Is(err, ErrSchema) {
					return err
				}
			} else if ctx.Err() == nil {
				changed(nil)
			}
		} else {
			refs, all, err := f.next(ctx)
			switch {
			case ctx.Err() != nil:
			case err != nil: // who knows what is missed: begin anew
				f = nil
			case all:
				changed(nil)
			case len(refs) > 0:
				changed(refs)
			}
		}
		timer := time.NewTimer(s.cfg.PollInterval)
		select {
		case <-ctx.Done():
			timer.Stop()
			return failed(ctx, ctx.Err())
		case <-wake:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// listen runs Config.Listen, again and again, until stop, which waits for its
// end.
func (s *Store) listen(ctx context.Context) (wake <-chan struct{}, stop func()) {
	if s.cfg.Listen == nil {
		return nil, func() {}
	}
	woken := make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() {
		for ctx.Err() == nil {
			_ = s.cfg.Listen(ctx, s.channel(), func() { // polling goes on without it
				select {
				case woken <- struct{}{}:
				default:
				}
			})
			timer := time.NewTimer(s.cfg.PollInterval)
			select {
			case <-ctx.Done():
			case <-timer.C:
			}
			timer.Stop()
		}
	})
	return woken, func() {
		cancel()
		done.Wait()
	}
}

func (s *Store) newFeed() feed {
	switch s.dialect {
	case PostgreSQL:
		return &snapshotFeed{store: s}
	case MySQL:
		return &numberFeed{store: s, missing: make(map[int64]time.Time)}
	}
	return &numberFeed{store: s}
}

// snapshotFeed is the feed on PostgreSQL: it asks for what is visible now and
// was not in the snapshot before.
type snapshotFeed struct {
	store            *Store
	snapshot, server string
}

func (f *snapshotFeed) begin(ctx context.Context) error {
	return f.store.read(ctx, func(x *session) error {
		return x.row(ctx, f.store.sql.feedNow, nil).Scan(&f.snapshot, &f.server)
	})
}

var errOtherServer = errors.New("another server answers, or it began anew")

func (f *snapshotFeed) next(ctx context.Context) (refs []string, all bool, err error) {
	var snapshot, server string
	err = f.store.read(ctx, func(x *session) error {
		refs = nil
		rows, err := x.rows(ctx, f.store.sql.feedNext, args{"snapshot": f.snapshot, "number": int64(maxTold) + 1})
		if err != nil {
			return err
		}
		return eachRow(rows, func(scan func(...any) error) error {
			var id, alias string
			if err := scan(&snapshot, &server, &id, &alias); err != nil {
				return err
			}
			refs = addRefs(refs, id, alias)
			return nil
		})
	})
	if err == nil && server != f.server {
		err = errOtherServer
	}
	f.snapshot = snapshot
	return refs, len(refs) > maxTold, err
}

func addRefs(refs []string, id, alias string) []string {
	if id != "" {
		refs = append(refs, id)
	}
	if alias != "" {
		refs = append(refs, alias)
	}
	return refs
}

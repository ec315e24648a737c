package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

const (
	pruneStep = 1000 // rows of one transaction
	keepNodes = 30 * 24 * time.Hour
)

// Prune removes what need no longer be kept at now: usage by the hour after
// Config.KeepUsage, history after Config.KeepHistory, and what is remembered of
// nodes that have sent no usage for 30 days. It goes in steps of 1,000 rows and
// stops when ctx ends; what is left, the next call finds. Call it once an hour or
// a day, from one node or from all. Nothing is removed without it.
func (s *Store) Prune(ctx context.Context, now time.Time) error {
	if err := s.steps(ctx, s.sql.pruneHours, args{"at": now.Add(-s.cfg.KeepUsage).UnixMicro()}); err != nil {
		return err
	}
	if s.cfg.KeepHistory > 0 {
		if err := s.pruneHistory(ctx, now.Add(-s.cfg.KeepHistory).UnixMicro()); err != nil {
			return err
		}
	}
	return s.pruneNodes(ctx, now.Add(-keepNodes).UnixMicro())
}

// steps runs a statement until it finds nothing more.
func (s *Store) steps(ctx context.Context, st *statement, a args) error {
	a["number"] = int64(pruneStep)
	for removed := int64(pruneStep); removed >= pruneStep; {
		err := s.write(ctx, func(x *session) (err error) {
			removed, err = x.exec(ctx, st, a)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// pruneHistory removes changes from the beginning, up to one that is to stay
// with all that are stored about then.
func (s *Store) pruneHistory(ctx context.Context, at int64) error {
	for {
		var number, removed int64
		err := s.write(ctx, func(x *session) error {
			number = 0
			rows, err := x.rows(ctx, s.sql.oldHistory, args{"number": int64(pruneStep)})
			if err != nil {
				return err
			}
			last := int64(0)
			err = eachRow(rows, func(scan func(...any) error) error {
				var made int64
				number++
				return scan(&last, &made)
			})
			if err != nil {
				return err
			}
			removed, err = x.exec(ctx, s.sql.pruneHistory, args{"n": last, "at": at})
			return err
		})
		if err != nil || removed == 0 || number < pruneStep {
			return err
		}
	}
}

func (s *Store) pruneNodes(ctx context.Context, at int64) error {
	for {
		var node string
		err := s.read(ctx, func(x *session) error { return x.row(ctx, s.sql.oldNode, args{"at": at}).Scan(&node) })
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		err = s.write(ctx, func(x *session) error {
			removed, err := x.exec(ctx, s.sql.pruneNode, args{"node": node, "at": at})
			if err != nil || removed == 0 { // it has sent something meanwhile
				return err
			}
			_, err = x.exec(ctx, s.sql.pruneBatches, args{"node": node})
			return err
		})
		if err != nil {
			return err
		}
	}
}

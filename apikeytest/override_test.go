package apikeytest

import (
	"context"

	"github.com/go-apikey/apikey"
)

// override is a [naive] of which some methods are others.
type override struct {
	*naive
	create   func(context.Context, *apikey.Record, apikey.Write) error
	get      func(context.Context, string) (*apikey.Record, error)
	update   func(context.Context, *apikey.Record, apikey.Write) error
	list     func(context.Context, apikey.Query) (apikey.Page, error)
	addUsage func(context.Context, apikey.UsageBatch) error
	remove   func(context.Context, string, apikey.Write) error
	usage    func(context.Context, string, apikey.UsageQuery) ([]apikey.UsagePoint, error)
	history  func(context.Context, apikey.HistoryQuery) (apikey.HistoryPage, error)
	watch    func(context.Context, func([]string)) error
}

func or[F any](f *F, set bool, otherwise F) F {
	if set {
		return *f
	}
	return otherwise
}

func (s *override) Create(ctx context.Context, rec *apikey.Record, w apikey.Write) error {
	return or(&s.create, s.create != nil, s.naive.Create)(ctx, rec, w)
}

func (s *override) Get(ctx context.Context, ref string) (*apikey.Record, error) {
	return or(&s.get, s.get != nil, s.naive.Get)(ctx, ref)
}

func (s *override) Update(ctx context.Context, rec *apikey.Record, w apikey.Write) error {
	return or(&s.update, s.update != nil, s.naive.Update)(ctx, rec, w)
}

func (s *override) List(ctx context.Context, q apikey.Query) (apikey.Page, error) {
	return or(&s.list, s.list != nil, s.naive.List)(ctx, q)
}

func (s *override) AddUsage(ctx context.Context, b apikey.UsageBatch) error {
	return or(&s.addUsage, s.addUsage != nil, s.naive.AddUsage)(ctx, b)
}

func (s *override) Delete(ctx context.Context, id string, w apikey.Write) error {
	return or(&s.remove, s.remove != nil, s.naive.Delete)(ctx, id, w)
}

func (s *override) Usage(ctx context.Context, id string, q apikey.UsageQuery) ([]apikey.UsagePoint, error) {
	return or(&s.usage, s.usage != nil, s.naive.Usage)(ctx, id, q)
}

func (s *override) History(ctx context.Context, q apikey.HistoryQuery) (apikey.HistoryPage, error) {
	return or(&s.history, s.history != nil, s.naive.History)(ctx, q)
}

func (s *override) Watch(ctx context.Context, changed func([]string)) error {
	return or(&s.watch, s.watch != nil, s.naive.Watch)(ctx, changed)
}

package apikey

import (
	"errors"
	"testing"
	"time"
)

func TestCursorHoldsForItsQueryAlone(t *testing.T) {
	at := time.UnixMicro(1_700_000_000_000_001).UTC()
	base := Query{Owner: "acct_42", Text: "ci", States: []State{StateActive}}
	cursor := base.CursorAt(at, "7Qx2mB4kAAAA")
	q := base
	q.After = cursor
	if created, id, err := q.Position(); err != nil || !created.Equal(at) || id != "7Qx2mB4kAAAA" {
		t.Fatalf("%v, %q, %v", created, id, err)
	}
	q.Limit, q.At = 7, time.Now()
	if _, _, err := q.Position(); err != nil {
		t.Errorf("another page size: %v", err)
	}
	for name, change := range map[string]func(*Query){
		"owner":          func(q *Query) { q.Owner = "acct_43" },
		"all owners":     func(q *Query) { q.AllOwners = true },
		"text":           func(q *Query) { q.Text = "cd" },
		"states":         func(q *Query) { q.States = nil },
		"environment":    func(q *Query) { q.Environment = "live" },
		"IDs":            func(q *Query) { q.IDs = []string{"x"} },
		"unused since":   func(q *Query) { q.UnusedSince = at },
		"rotated before": func(q *Query) { q.RotatedBefore = at },
		"expires before": func(q *Query) { q.ExpiresBefore = at },
		"garbage":        func(q *Query) { q.After = "!" },
		"short":          func(q *Query) { q.After = q.After[:10] },
		"longer":         func(q *Query) { q.After += "AAAA" },
	} {
		t.Run(name, func(t *testing.T) {
			q := base
			q.After = cursor
			change(&q)
			if _, _, err := q.Position(); !errors.Is(err, ErrInvalid) {
				t.Errorf("%v, want ErrInvalid", err)
			}
		})
	}
	for i := range len(cursor) * 8 {
		b := []byte(cursor)
		b[i/8] ^= 1 << (i % 8)
		q.After = Cursor(b)
		if _, _, err := q.Position(); !errors.Is(err, ErrInvalid) {
			t.Fatalf("with bit %d flipped: %v, want ErrInvalid", i, err)
		}
	}
}

func FuzzCursor(f *testing.F) {
	q := Query{Owner: "acct_42"}
	f.Add(string(q.CursorAt(time.UnixMicro(1).UTC(), "0000000")), int64(1))
	f.Add("", int64(0))
	f.Fuzz(func(t *testing.T, s string, n int64) {
		q, h := Query{Owner: "acct_42", After: Cursor(s)}, HistoryQuery{Owner: "acct_42", After: Cursor(s)}
		if created, id, err := q.Position(); err == nil && s != "" && q.CursorAt(created, id) != q.After {
			t.Errorf("%q is read as %v %q, which is written %q", s, created, id, q.CursorAt(created, id))
		}
		if n, err := h.Position(); err == nil && s != "" && h.CursorAt(n) != h.After {
			t.Errorf("%q is read as %d, which is written %q", s, n, h.CursorAt(n))
		}
		h.After = h.CursorAt(n)
		if got, err := h.Position(); err != nil || got != n {
			t.Errorf("%d is written %q, which is read as %d, %v", n, h.After, got, err)
		}
	})
}

func TestQueryCheck(t *testing.T) {
	now := time.Now()
	for name, tc := range map[string]struct {
		q     Query
		field string // "": none
	}{
		"zero":          {Query{}, ""},
		"most":          {Query{Limit: 1000, IDs: make([]string, 500)}, ""},
		"limit 1001":    {Query{Limit: 1001}, "Limit"},
		"limit -1":      {Query{Limit: -1}, "Limit"},
		"too many IDs":  {Query{IDs: make([]string, 501)}, "IDs"},
		"text not UTF8": {Query{Text: "\xff"}, "Text"},
		"state":         {Query{States: []State{StateActive, "gone"}}, "States[1]"},
		"cursor":        {Query{After: "x"}, "After"},
	} {
		t.Run(name, func(t *testing.T) {
			q := tc.q
			err := q.check(now)
			var invalid *InvalidError
			switch {
			case tc.field == "" && (err != nil || q.Limit == 0 || q.At.IsZero()):
				t.Errorf("%v, limit %d, at %v", err, q.Limit, q.At)
			case tc.field != "" && (!errors.As(err, &invalid) || invalid.Fields[0].Field != tc.field):
				t.Errorf("%v, want a fault in %s", err, tc.field)
			}
		})
	}
}

func TestFold(t *testing.T) {
	for _, tc := range [][2]string{{"K", "k"}, {"K", "\u212a"}, {"ß", "ẞ"}, {"Σ", "ς"}, {"σ", "ς"}, {"ÄÖ", "äö"}, {"ı", "ı"}} {
		if Fold(tc[0]) != Fold(tc[1]) {
			t.Errorf("%q and %q differ", tc[0], tc[1])
		}
	}
	for _, tc := range [][2]string{{"e", "é"}, {"ss", "ß"}, {"i", "ı"}, {"é", "e\u0301"}} {
		if Fold(tc[0]) == Fold(tc[1]) {
			t.Errorf("%q and %q are one", tc[0], tc[1])
		}
	}
}

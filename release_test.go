package apikey

import (
	"context"
	"testing"
	"time"
)

// oneKeyOn is a Manager on s, which has one key, and the key's token.
func oneKeyOn(t *testing.T, s *oneRecord, cfg Config) (m *Manager, token string) {
	t.Helper()
	cfg.FlushInterval = time.Hour
	m, err := New(s, &cfg)
	if err != nil {
		t.Fatal(err)
	}
	issued, err := m.Keyring("acct_42", Operator("test")).Create(t.Context(), KeyParams{Name: "a key"})
	if err != nil {
		t.Fatal(err)
	}
	return m, issued.Token.Reveal()
}

func mustClose(t *testing.T, m *Manager) {
	t.Helper()
	if err := m.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

// TestRefusedUseIsLetGo: a key that is only ever refused holds no memory.
func TestRefusedUseIsLetGo(t *testing.T) {
	s := &oneRecord{}
	m, token := oneKeyOn(t, s, Config{})
	defer mustClose(t, m)
	if _, _, err := m.Verify(t.Context(), Request{Token: token, All: []Permission{"a:b"}}); err == nil {
		t.Fatal("it passed")
	}
	if s.rec.use.Load() == nil {
		t.Fatal("a refused request leaves no use, so that this test shows nothing")
	}
	if err := m.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.rec.use.Load() != nil {
		t.Error("the use stays")
	}
}

// TestCloseLetsGoOfRecords, so that the next Manager on the Store finds them
// free.
func TestCloseLetsGoOfRecords(t *testing.T) {
	s := &oneRecord{}
	m, token := oneKeyOn(t, s, Config{})
	for range 3 {
		if _, _, err := m.Verify(t.Context(), Request{Token: token}); err != nil {
			t.Fatal(err)
		}
	}
	mustClose(t, m)
	if s.rec.use.Load() != nil {
		t.Error("a closed Manager still holds a record")
	}
}

// TestForgottenPlanStaysForgotten, also when the clock is set back after the
// answer ran out and was swept.
func TestForgottenPlanStaysForgotten(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	refusal := ""
	m, token := oneKeyOn(t, &oneRecord{}, Config{
		Now:  func() time.Time { return now },
		Plan: func(context.Context, string) (Plan, error) { return Plan{Name: "p", MaxKeys: 9, Refusal: refusal}, nil },
	})
	defer mustClose(t, m)
	if _, _, err := m.Verify(t.Context(), Request{Token: token}); err != nil {
		t.Fatal(err)
	}
	now = now.Add(11 * time.Second)
	m.sweep()
	now = now.Add(-5 * time.Second)
	refusal = "unpaid"
	m.ForgetPlan("acct_42")
	if p, _, err := m.Verify(t.Context(), Request{Token: token}); err == nil {
		t.Errorf("%v passed under a plan that refuses", p)
	}
}

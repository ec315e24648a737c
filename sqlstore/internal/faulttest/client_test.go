//go:build linux

package faulttest

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/sqlstore"
	"github.com/go-apikey/apikey/sqlstore/internal/sqltest"
)

// clientVariable is set to the database in the environment of a process that
// writes until it is killed.
const clientVariable = "APIKEY_FAULTTEST_CLIENT"

// runClient creates, rotates, revokes, uses and flushes, and says before each
// what it will do, and after what was acknowledged, one line each.
func runClient(file string) int {
	if err := client(file); err != nil {
		_, _ = fmt.Fprintln(os.Stdout, "failed", strings.ReplaceAll(err.Error(), "\n", " "))
		return 1
	}
	return 0
}

func client(file string) error {
	db, err := sql.Open("sqlite", sqltest.SQLiteDSN(file))
	if err != nil {
		return err
	}
	store, err := sqlstore.New(db, sqlstore.SQLite, nil)
	if err != nil {
		return err
	}
	m, err := apikey.New(store, &apikey.Config{FlushInterval: time.Hour})
	if err != nil {
		return err
	}
	ctx, ring := context.Background(), m.Keyring(os.Getenv(clientVariable+"_OWNER"), apikey.Operator("client"))
	say := func(words ...any) { _, _ = fmt.Fprintln(os.Stdout, words...) }
	for {
		say("will", "create", "-")
		issued, err := ring.Create(ctx, apikey.KeyParams{Name: "key"})
		if err != nil {
			return err
		}
		id := issued.Key.ID
		say("did", "create", id, issued.Token.Reveal())
		for range 3 {
			if _, _, err := m.Verify(ctx, apikey.Request{Token: issued.Token.Reveal()}); err != nil {
				return err
			}
		}
		say("will", "flush", id)
		if err := m.Flush(ctx); err != nil {
			return err
		}
		say("did", "flush", id, "-")
		say("will", "rotate", id)
		if issued, err = ring.Rotate(ctx, id, apikey.RotateParams{}); err != nil {
			return err
		}
		say("did", "rotate", id, issued.Token.Reveal())
		if rand.N(2) == 0 {
			say("will", "revoke", id)
			if _, err := ring.Revoke(ctx, id); err != nil {
				return err
			}
			say("did", "revoke", id, "-")
		}
	}
}

// written is what a client said of a key.
type written struct {
	version, flushed int64
	tokens           []string
	revoked          bool
}

// lastWords are what a client acknowledged, and what it was doing when it ended.
type lastWords struct {
	keys     map[string]*written
	verb, on string
	acks     int
}

func listen(t *testing.T, r io.Reader) *lastWords {
	t.Helper()
	said := &lastWords{keys: map[string]*written{}}
	for lines := bufio.NewScanner(r); lines.Scan(); {
		words := strings.Fields(lines.Text())
		switch {
		case len(words) == 3 && words[0] == "will":
			said.verb, said.on = words[1], words[2]
		case len(words) == 4 && words[0] == "did":
			said.verb, said.on = "", ""
			said.acks++
			said.did(words[1], words[2], words[3])
		default:
			t.Errorf("the client: %s", lines.Text())
		}
	}
	return said
}

func (s *lastWords) did(verb, id, token string) {
	if verb == "create" {
		s.keys[id] = &written{}
	}
	k := s.keys[id]
	if verb == "flush" {
		k.flushed += 3
	} else {
		k.version++
	}
	if token != "-" {
		k.tokens = append(k.tokens, token)
	}
	k.revoked = k.revoked || verb == "revoke"
}

func TestKillTheClient(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "keys.db")
	db, err := sql.Open("sqlite", sqltest.SQLiteDSN(file))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	m := newManager(t, sqltest.StoreIn(t, db, sqlstore.SQLite, nil), apikey.Config{})
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	acks, during := 0, map[string]int{}
	kills := times(5, 200)
	for n := range kills {
		owner := fmt.Sprint("acct-", n)
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), clientVariable+"="+file, clientVariable+"_OWNER="+owner)
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		said := killed(t, cmd)
		acks += said.acks
		during[said.verb]++
		said.check(t, m, owner)
		if t.Failed() {
			t.Fatalf("at kill %d, while it was at %q", n, said.verb)
		}
	}
	whole(t, db)
	var sound string
	if err := db.QueryRow("PRAGMA integrity_check").Scan(&sound); err != nil || sound != "ok" {
		t.Errorf("integrity_check: %s %v", sound, err)
	}
	t.Logf("%d kills, %d changes acknowledged; killed during %v", kills, acks, during)
}

// killed runs a client until a moment after its first word.
func killed(t *testing.T, cmd *exec.Cmd) *lastWords {
	t.Helper()
	from, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = from.Close() }()
	cmd.Stdout = to
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = to.Close()
	first := bufio.NewReader(from)
	if _, err := first.Peek(1); err != nil {
		t.Fatal(err)
	}
	killer := time.AfterFunc(10*time.Millisecond+rand.N(150*time.Millisecond), func() { _ = cmd.Process.Kill() })
	defer killer.Stop()
	said := listen(t, first)
	_ = cmd.Wait()
	return said
}

// check compares what there is with what was acknowledged.
func (s *lastWords) check(t *testing.T, m *apikey.Manager, owner string) {
	t.Helper()
	l := &load{t: t, m: m}
	more := map[bool]int64{true: 1}
	for _, key := range l.list(owner) {
		k := s.keys[key.ID]
		delete(s.keys, key.ID)
		if k == nil && s.verb == "create" {
			s.verb = "" // one it may be
			k = &written{version: 1}
		}
		if k == nil {
			t.Errorf("key %s is there, and nobody was making it", key.ID)
			continue
		}
		doing := s.on == key.ID
		if key.Version < k.version || key.Version > k.version+more[doing && s.verb != "flush"] {
			t.Errorf("key %s has version %d, %d was acknowledged", key.ID, key.Version, k.version)
		}
		if n := key.Usage.Requests; n != k.flushed && !(doing && s.verb == "flush" && n == 3) {
			t.Errorf("key %s has %d requests, %d were flushed", key.ID, n, k.flushed)
		}
		if k.revoked && key.RevokedAt.IsZero() {
			t.Errorf("key %s is not revoked, which was acknowledged", key.ID)
		}
		for i, token := range k.tokens {
			_, _, err := m.Verify(t.Context(), apikey.Request{Token: token})
			var denial *apikey.Denial
			ended := i < len(k.tokens)-1 || !key.RevokedAt.IsZero() || key.Secrets[0].N > uint32(len(k.tokens))
			if denied := errors.As(err, &denial); denied != ended || !denied && err != nil {
				t.Errorf("token %d of %s: %v; ended %v", i, key.ID, err, ended)
			}
		}
	}
	for id := range s.keys {
		t.Errorf("key %s is gone, and its creation was acknowledged", id)
	}
}

package boltstore_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/examples/boltstore"
)

// childFile is the variable that makes TestChild the child of TestKill.
const childFile = "APIKEY_BOLTSTORE_CHILD"

// TestKill kills a process with SIGKILL while it creates and revokes keys, on
// the same file again and again, and looks at what is there after each: all
// that was acknowledged is, and nothing is there by half.
func TestKill(t *testing.T) {
	rounds := 4
	if os.Getenv("APIKEY_LONG") != "" {
		rounds = 50
	}
	path := filepath.Join(t.TempDir(), "keys.db")
	acked := map[string]int64{} // the version acknowledged last, by ID
	for round := range rounds {
		kill(t, path, round, acked)
		check(t, path, acked)
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
	t.Logf("%d kills, %d keys", rounds, len(acked))
	if len(acked) < rounds {
		t.Errorf("only %d keys were acknowledged in %d rounds", len(acked), rounds)
	}
}

// kill runs the child until it has acknowledged some writes, kills it, and
// notes what it acknowledged.
func kill(t *testing.T, path string, round int, acked map[string]int64) {
	t.Helper()
	acks, theirs, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer acks.Close()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestChild$")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s", childFile, path), fmt.Sprintf("%s_ROUND=%d", childFile, round))
	cmd.ExtraFiles = []*os.File{theirs} // file 3
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	killAt := 1 + rand.IntN(60)
	lines := bufio.NewScanner(acks)
	for n := 1; lines.Scan(); n++ {
		var id string
		var version int64
		if _, err := fmt.Sscan(lines.Text(), &id, &version); err != nil {
			t.Fatalf("%q: %v", lines.Text(), err)
		}
		acked[id] = version
		if n == killAt {
			go func() {
				<-time.After(time.Duration(rand.IntN(4000)) * time.Microsecond) // within a write
				_ = cmd.Process.Kill()
			}()
		}
	}
	if err := lines.Err(); err != nil {
		t.Error(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != -1 {
		t.Fatalf("the child ended by itself: %v", err)
	}
}

// check opens the file as the next process does.
func check(t *testing.T, path string, acked map[string]int64) {
	t.Helper()
	s := open(t, path)
	defer s.Close()
	for id, version := range acked {
		for _, ref := range []string{id, alias(id)} {
			rec, err := s.Get(t.Context(), ref)
			if err != nil {
				t.Errorf("%s of version %d was acknowledged, and is gone: %v", ref, version, err)
				continue
			}
			if rec.Version() < version || rec.Version() == 2 && rec.Key().RevokedAt.IsZero() {
				t.Errorf("%s of version %d was acknowledged, and is %v of version %d", ref, version, rec, rec.Version())
			}
		}
	}
	entries := map[string]int64{} // changes by ID
	for q := (apikey.HistoryQuery{AllOwners: true, Limit: 1000}); ; {
		page, err := s.History(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range page.Changes {
			entries[c.KeyID]++
		}
		if q.After = page.Next; q.After == "" {
			break
		}
	}
	for q := (apikey.Query{AllOwners: true, Limit: 1000}); ; {
		page, err := s.List(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range page.Keys {
			if entries[k.ID] != k.Version {
				t.Errorf("%s of version %d has %d entries in the history", k.ID, k.Version, entries[k.ID])
			}
			if rec, err := s.Get(t.Context(), k.Alias); err != nil || rec.ID() != k.ID {
				t.Errorf("%s is not found by its alias: %v", k.ID, err)
			}
			delete(entries, k.ID)
		}
		if q.After = page.Next; q.After == "" {
			break
		}
	}
	for id := range entries {
		t.Errorf("%s is in the history and nowhere else", id)
	}
}

func open(t *testing.T, path string) *boltstore.Store {
	t.Helper()
	s, err := boltstore.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func alias(id string) string { return "~legacy:" + id }

// TestChild creates keys and revokes every other one until it is killed. It
// tells on file 3 of each write that was acknowledged.
func TestChild(t *testing.T) {
	path := os.Getenv(childFile)
	if path == "" {
		t.Skip("only as the child of TestKill")
	}
	s := open(t, path)
	acks := os.NewFile(3, "acks")
	var mu sync.Mutex
	ack := func(id string, version int64) {
		mu.Lock()
		defer mu.Unlock()
		if _, err := io.WriteString(acks, fmt.Sprintln(id, version)); err != nil {
			t.Error(err)
		}
	}
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i := 0; !t.Failed(); i++ {
				id := fmt.Sprintf("Key%03s%d%05d", os.Getenv(childFile+"_ROUND"), worker, i)
				if err := s.Create(t.Context(), record(id, 1), write("create", id)); err != nil {
					t.Error(err)
					return
				}
				ack(id, 1)
				if i%2 == 0 {
					continue
				}
				if err := s.Update(t.Context(), record(id, 2), write("revoke", id)); err != nil {
					t.Error(err)
					return
				}
				ack(id, 2)
			}
		})
	}
	wg.Wait()
}

var epoch = time.Date(2021, 3, 4, 5, 0, 0, 0, time.UTC)

// record is of version 1, or 2 and revoked.
func record(id string, version int64) *apikey.Record {
	k := &apikey.Key{
		ID: id, Alias: alias(id), Owner: "acct", Name: id, CreatedAt: epoch, Version: version,
		Secrets: []apikey.Secret{{N: 1, Prefix: "sk_", CreatedAt: epoch}},
	}
	if version == 2 {
		k.RevokedAt = epoch
	}
	rec, err := apikey.NewRecord(k, apikey.SumToken(id))
	if err != nil {
		panic(err)
	}
	return rec
}

func write(action, id string) apikey.Write {
	return apikey.Write{Change: apikey.Change{At: epoch, Actor: "test", Action: action, KeyID: id, Owner: "acct"}, MaxKeys: -1}
}

// One process at a time has the file.
func TestOpenTwice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.db")
	s := open(t, path)
	defer s.Close()
	if other, err := boltstore.Open(path); err == nil {
		other.Close()
		t.Error("a file that is open was opened")
	}
}

// What is kept is there when the file is opened again.
func TestReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.db")
	s := open(t, path)
	if err := s.Create(t.Context(), record("Key000000001", 1), write("create", "Key000000001")); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Create(t.Context(), record("Key000000002", 1), write("create", "Key000000002")); !errors.Is(err, apikey.ErrNotApplied) {
		t.Errorf("Create on a closed store: %v, want ErrNotApplied", err)
	}
	s = open(t, path)
	defer s.Close()
	if _, err := s.Get(t.Context(), alias("Key000000001")); err != nil {
		t.Error(err)
	}
}

// Where the contract gives an error a meaning, it is not a failure besides:
// a Keyring repeats an Update that met a conflict, and gives up one that failed.
func TestErrorsWithAMeaning(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "keys.db"))
	defer s.Close()
	m, err := apikey.New(s, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close(t.Context())
	ring := m.Keyring("acct", apikey.Operator("test"))
	issued, err := ring.Create(t.Context(), apikey.KeyParams{Name: "x"})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			if _, err := ring.Update(t.Context(), issued.Key.ID, apikey.KeyUpdate{Name: new(fmt.Sprint(i))}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for what, err := range map[string]error{
		"Update of no key":    s.Update(t.Context(), record("Key000000009", 2), write("update", "Key000000009")),
		"Create of a key":     s.Create(t.Context(), record(issued.Key.ID, 1), write("create", issued.Key.ID)),
		"Delete of no key":    s.Delete(t.Context(), "Key000000009", write("delete", "Key000000009")),
		"Update of version 1": s.Update(t.Context(), record(issued.Key.ID, 1), write("update", issued.Key.ID)),
	} {
		if err == nil || errors.Is(err, apikey.ErrNotApplied) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

package secretwatch_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/internal/secretwatch"
	"github.com/go-apikey/apikey/memstore"
)

// plantVariable says to a child what it is to let out, and where: "place/form".
const plantVariable = "APIKEY_SECRETWATCH_PLANT"

// event is like the library's: it says more than fmt shows.
type event struct {
	Kind   string
	Change *change
	Err    error
}

type change struct{ Old string }

// places are where a text may get out, and how a finding there is called.
var places = map[string]struct {
	called string
	put    func(t *testing.T, text string)
}{
	"stdout":      {"standard output", func(_ *testing.T, s string) { say(os.Stdout, "here: ", s) }},
	"stdout-tail": {"standard output", func(_ *testing.T, s string) { say(os.Stdout, strings.Repeat("x y\n", 1<<18), s) }},
	"stderr":      {"standard error", func(_ *testing.T, s string) { say(os.Stderr, "here: ", s) }},
	"test log":    {"standard output", func(t *testing.T, s string) { t.Log(s) }},
	"log":         {"standard error", func(_ *testing.T, s string) { log.Println(s) }}, //nolint:forbidigo // what is tried
	"slog":        {"standard error", func(_ *testing.T, s string) { slog.Info("here", "key", s) }},
	"json":        {"standard error", func(_ *testing.T, s string) { jsonLog(os.Stderr).Info("a", "key", s) }},
	"event":       {"TestPlanted: event", func(t *testing.T, s string) { secretwatch.Event(t.Name(), event{Kind: s}) }},
	"event field": {"TestPlanted: event", func(t *testing.T, s string) { secretwatch.Event(t.Name(), event{Change: &change{s}}) }},
	"event error": {"TestPlanted: event", func(t *testing.T, s string) { secretwatch.Event(t.Name(), event{Err: errors.New(s)}) }},
	"error":       {"TestPlanted: error", func(t *testing.T, s string) { _ = secretwatch.Error(t.Name(), errors.New(s)) }},
	"wrapped":     {"TestPlanted: error", func(t *testing.T, s string) { _ = secretwatch.Error(t.Name(), quiet{errors.New(s)}) }},
	"body": {"TestPlanted: HTTP body", func(t *testing.T, s string) {
		_, _ = io.WriteString(secretwatch.Recorder(t), s)
	}},
	"header": {"TestPlanted: HTTP header", func(t *testing.T, s string) {
		secretwatch.Recorder(t).Header().Set("X-Debug", s)
	}},
	"client": {"TestPlanted: HTTP body", func(t *testing.T, s string) {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, s) }))
		defer server.Close()
		client := http.Client{Transport: secretwatch.Transport(t.Name(), nil)}
		resp, err := client.Get(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}},
}

func say(w io.Writer, texts ...string) { _, _ = io.WriteString(w, strings.Join(texts, "")+"\n") }

func jsonLog(w io.Writer) *slog.Logger { return slog.New(slog.NewJSONHandler(w, nil)) }

// quiet wraps an error and does not say so.
type quiet struct{ err error }

func (quiet) Error() string   { return "something failed" }
func (q quiet) Unwrap() error { return q.err }

// forms are what of a token may get out.
var forms = map[string]func(token string) string{
	"token":             func(token string) string { return token },
	"secret":            secretOf,
	"part":              func(token string) string { return secretOf(token)[5:24] },
	"end":               func(token string) string { return secretOf(token)[8:] },
	"glued":             func(token string) string { return "x" + token + "y" },
	"token in base64":   func(token string) string { return base64.StdEncoding.EncodeToString([]byte("user:" + token)) },
	"token in hex":      func(token string) string { return fmt.Sprintf("%x", token) },
	"token as bytes":    func(token string) string { return fmt.Sprintf("%d", []byte(token)) },
	"digest":            func(token string) string { return hex.EncodeToString(sum(token)) },
	"DIGEST":            func(token string) string { return fmt.Sprintf("%X", sum(token)) },
	"digest in base64":  func(token string) string { return base64.StdEncoding.EncodeToString(sum(token)) },
	"digest in URL":     func(token string) string { return base64.RawURLEncoding.EncodeToString(sum(token)) },
	"digest as bytes":   func(token string) string { return fmt.Sprintf("%v", [32]byte(sum(token))) },
	"digest as Go":      func(token string) string { return fmt.Sprintf("%#v", sum(token)) },
	"digest, spaced":    func(token string) string { return fmt.Sprintf("% x", sum(token)) },
	"digest, quoted":    func(token string) string { return fmt.Sprintf("%q", sum(token)) },
	"digest, raw":       func(token string) string { return string(sum(token)) },
	"record":            func(string) string { return string(stored) },
	"record in base64":  func(string) string { return base64.StdEncoding.EncodeToString(stored) },
	"unknown in hex":    func(string) string { return hex.EncodeToString(sum("of another system")) },
	"unknown in base64": func(string) string { return base64.StdEncoding.EncodeToString(sum("of another system")) },
	"unknown in URL":    func(string) string { return base64.RawURLEncoding.EncodeToString(sum("of another system")) },
	"unknown as bytes":  func(string) string { return fmt.Sprintf("%v", [32]byte(sum("of another system"))) },
	"unknown as JSON": func(string) string {
		return "[" + strings.Trim(strings.ReplaceAll(fmt.Sprintf("%v", [32]byte(sum("of another system"))), " ", ","), "[]") + "]"
	},
	"made by the test": func(string) string { secretwatch.Add("fm_opaque0opaque0opaque"); return "fm_opaque0opaque0opaque" },
	"its digest, quoted": func(string) string {
		secretwatch.Add("12|sanctum")
		return fmt.Sprintf("%q", sum("12|sanctum"))
	},
}

func secretOf(token string) string {
	return token[strings.LastIndexByte(token, '_')+1+12 : len(token)-6]
}

func sum(token string) []byte {
	s := sha256.Sum256([]byte(token))
	return s[:]
}

var stored []byte // of the key that was made last

func newToken(t *testing.T) (id, token string) {
	t.Helper()
	store := memstore.New()
	m, err := apikey.New(store, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = m.Close(context.Background()) }()
	issued, err := m.Keyring("acct_42", apikey.Operator("test")).Create(t.Context(), apikey.KeyParams{Name: "a key"})
	if err != nil {
		t.Fatal(err)
	}
	rec, err := store.Get(t.Context(), issued.Key.ID)
	if err != nil {
		t.Fatal(err)
	}
	stored = rec.Bytes()
	secretwatch.Record(stored)
	return issued.Key.ID, issued.Token.Reveal()
}

// TestPlanted is what a child runs.
func TestPlanted(t *testing.T) {
	what := os.Getenv(plantVariable)
	if what == "" {
		t.Skip("for a process that TestFound starts")
	}
	id, token := newToken(t)
	switch what {
	case "nothing":
		say(os.Stdout, "key ", id, " and the masked ", strings.TrimSuffix(token, token[len("sk_")+8:])+"…")
		slog.Info("checked", "key", id)
		secretwatch.Event(t.Name(), event{Kind: id, Change: &change{"sk_" + id}, Err: errors.New("no key " + id)})
		secretwatch.Text(t.Name(), fmt.Sprintf("%x %s %v", "a text that is not secret, and long enough to be", "TestSomeThing/With_a_name_Of_43_characters1", make([]byte, 64)))
	case "public":
		secretwatch.Public(hex.EncodeToString(sum(token)))
		say(os.Stdout, hex.EncodeToString(sum(token)))
	case "revealed":
		secretwatch.Text("the new key", token)
		secretwatch.Reveal("the new key", token)
	case "revealed twice":
		secretwatch.Reveal("the new key", token)
		secretwatch.Text("the new key", token)
		secretwatch.Text("the new key", token)
	case "revealed elsewhere":
		secretwatch.Reveal("the new key", token)
		secretwatch.Text("the list of keys", token)
	case "panic":
		say(os.Stdout, "the last words")
		panic("the end")
	case "a thousand":
		for range 1000 {
			newToken(t)
		}
		say(os.Stdout, secretOf(token))
	default:
		place, form, _ := strings.Cut(what, "/")
		places[place].put(t, forms[form](token))
	}
}

// child runs TestPlanted in a process of its own.
func child(t *testing.T, what string, args ...string) (output string, code int) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, append([]string{"-test.run=^TestPlanted$"}, args...)...)
	cmd.Env = append(os.Environ(), plantVariable+"="+what, "GORACE=atexit_sleep_ms=0")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

// TestFound plants each form in one place, and a few in each place.
func TestFound(t *testing.T) {
	t.Parallel()
	var plants []string
	for form := range forms {
		plants = append(plants, "body/"+form)
	}
	for place := range places {
		for _, form := range []string{"token", "secret", "digest", "digest in base64", "digest as bytes"} {
			plants = append(plants, place+"/"+form)
		}
	}
	for _, what := range plants {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			output, code := child(t, what, "-test.v")
			place, _, _ := strings.Cut(what, "/")
			if want := "\t" + places[place].called; code != 1 || !strings.Contains(output, want) {
				t.Fatalf("code %d, want 1 and %q; %s", code, want, tail(output))
			}
			if !strings.Contains(output, "PASS\n") {
				t.Errorf("the test itself did not pass: %s", tail(output))
			}
		})
	}
}

func tail(s string) string { return s[max(0, len(s)-2000):] }

func TestNotFound(t *testing.T) {
	t.Parallel()
	for what, want := range map[string]int{
		"nothing": 0, "public": 0, "revealed": 0, "revealed twice": 1, "revealed elsewhere": 1, "panic": 2, "a thousand": 1,
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			output, code := child(t, what)
			if code != want {
				t.Errorf("code %d, want %d: %s", code, want, tail(output))
			}
			if what == "panic" && (!strings.Contains(output, "the last words") || !strings.Contains(output, "--- FAIL: TestPlanted") || !strings.Contains(output, "panic: the end")) {
				t.Errorf("a part of the output is lost: %s", output)
			}
		})
	}
}

// TestReportIsMasked: what is found is not told again.
func TestReportIsMasked(t *testing.T) {
	t.Parallel()
	output, _ := child(t, "event/token")
	if _, rest, found := strings.Cut(output, "FAIL: secretwatch"); !found || strings.Contains(rest, "sk_") && len(rest) > 1 && hasLongRun(rest) {
		t.Errorf("the report is %s", output)
	}
}

func hasLongRun(s string) bool {
	n := 0
	for _, r := range s {
		if n++; r < '0' || r > 'z' || r > '9' && r < 'A' || r > 'Z' && r < 'a' {
			n = 0
		}
		if n >= 16 {
			return true
		}
	}
	return false
}

// TestListens: crypto/rand.Read goes through the Reader that Main puts there.
func TestListens(t *testing.T) {
	t.Parallel()
	if fmt.Sprintf("%T", rand.Reader) != "secretwatch.listener" {
		t.Errorf("rand.Reader is %T", rand.Reader)
	}
}

package apikey_test

import (
	"bytes"
	"encoding/base64"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	htmltemplate "html/template"
	"io"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/memstore"
)

// hidden is a host's struct that keeps what it got in unexported fields, by
// value, behind pointers, in maps, slices, arrays and interfaces.
type hidden[T any] struct {
	value   T
	pointer *T
	slice   []T
	array   [1]T
	mapped  map[string]T
	pointed map[string]*T
	any     any
	deep    *hidden2[T]
}

type hidden2[T any] struct{ value T }

func hide[T any](v *T) *hidden[T] {
	x := *v
	return &hidden[T]{x, v, []T{x}, [1]T{x}, map[string]T{"k": x}, map[string]*T{"k": v}, x, &hidden2[T]{x}}
}

// shown is the same in exported fields, which encoders look into.
type shown[T any] struct {
	Value   T
	Pointer *T
	Slice   []T
	Mapped  map[string]T
	Any     any
}

// printed is v under every way that the standard library has to print it.
// What fails to be encoded must fail without the secret in its error.
func printed(v any) map[string]string {
	out := make(map[string]string)
	for _, verb := range []string{"v", "+v", "#v", "s", "q", "x", "X", "d", "c", "U", "t", "p", "w", "T"} {
		out["%"+verb] = fmt.Sprintf("%"+verb, v)
		out["reflect.Value %"+verb] = fmt.Sprintf("%"+verb, reflect.ValueOf(v))
		if e := reflect.Indirect(reflect.ValueOf(v)); e.Kind() == reflect.Struct {
			for i := range e.NumField() { // what a debugging helper prints of another package's fields
				out[fmt.Sprintf("field %d %%%s", i, verb)] = fmt.Sprintf("%"+verb, e.Field(i))
			}
		}
	}
	out["Errorf"] = fmt.Errorf("failed for %v: %w", v, io.EOF).Error()
	out["Join"] = errors.Join(fmt.Errorf("%+v", v)).Error()
	encode := func(name string, f func(w io.Writer) error) {
		var b bytes.Buffer
		if err := f(&b); err != nil {
			b.WriteString(err.Error())
		}
		out[name] = b.String()
	}
	encode("json", func(w io.Writer) error { return json.NewEncoder(w).Encode(v) })
	encode("json in any", func(w io.Writer) error { return json.NewEncoder(w).Encode(map[string]any{"k": v}) })
	encode("xml", func(w io.Writer) error { return xml.NewEncoder(w).Encode(v) })
	encode("gob", func(w io.Writer) error { return gob.NewEncoder(w).Encode(v) })
	encode("text/template", func(w io.Writer) error {
		return template.Must(template.New("").Parse(`{{.}} {{printf "%v %s %q" . . .}} {{print .}} {{html .}} {{js .}}`)).Execute(w, v)
	})
	encode("html/template", func(w io.Writer) error {
		return htmltemplate.Must(htmltemplate.New("").Parse(`<p title="{{.}}">{{.}}</p><script>var x = {{.}}</script>`)).Execute(w, v)
	})
	for name, h := range map[string]func(io.Writer) slog.Handler{
		"slog text": func(w io.Writer) slog.Handler { return slog.NewTextHandler(w, nil) },
		"slog json": func(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, nil) },
	} {
		encode(name, func(w io.Writer) error {
			slog.New(h(w)).With("with", v).Info("message", "key", v, slog.Group("g", "key", v))
			return nil
		})
	}
	return out
}

// contains reports in which of the ways in which bytes are written text has s.
func contains(text, s string) string {
	var decimal []string
	for _, b := range []byte(s) {
		decimal = append(decimal, fmt.Sprint(b))
	}
	for form, needle := range map[string]string{
		"as it is": s,
		"in hex":   hex.EncodeToString([]byte(s)),
		"in HEX":   strings.ToUpper(hex.EncodeToString([]byte(s))),
		"quoted":   strings.Trim(fmt.Sprintf("%q", s), `"`),
		"base64":   base64.StdEncoding.EncodeToString([]byte(s)),
		"decimal":  strings.Join(decimal, " "),
		"go hex":   strings.Trim(strings.ReplaceAll(fmt.Sprintf("%#v", []byte(s)), "[]byte", ""), "{}"),
	} {
		if strings.Contains(text, needle) {
			return form
		}
	}
	return ""
}

func checkMasked[T any](t *testing.T, v *T, secrets map[string]string) {
	t.Helper()
	x := *v
	for name, form := range map[string]any{
		"value":    x,
		"pointer":  v,
		"hidden":   *hide(v),
		"hidden *": hide(v),
		"shown":    shown[T]{x, v, []T{x}, map[string]T{"k": x}, x},
		"slice":    []T{x},
		"map":      map[string]*T{"k": v},
	} {
		for how, text := range printed(form) {
			for what, secret := range secrets {
				if as := contains(text, secret); as != "" {
					t.Errorf("%T as %s under %s shows the %s %s:\n%s", x, name, how, what, as, text)
				}
			}
		}
	}
}

func TestNothingPrintsASecret(t *testing.T) {
	const pepperBytes = "pepper-pepper-pepper-pepper-0123"
	pepper, err := apikey.NewPepper(7, []byte(pepperBytes))
	if err != nil {
		t.Fatal(err)
	}
	store := memstore.New()
	cfg := apikey.Config{Formats: []apikey.Format{{Prefix: "rd_sk_"}}, FlushInterval: time.Hour} // nothing changes while it is printed
	m, err := apikey.New(store, &cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer closeManager(t, m)
	issued, err := m.Keyring("acct_42", apikey.Operator("ana")).Create(t.Context(), apikey.KeyParams{Name: "Prod"})
	if err != nil {
		t.Fatal(err)
	}
	token := issued.Token.Reveal()
	p, _, err := m.Verify(t.Context(), apikey.Request{Token: token})
	if err != nil {
		t.Fatal(err)
	}
	rec, err := store.Get(t.Context(), issued.Key.ID)
	if err != nil {
		t.Fatal(err)
	}
	digest := apikey.SumToken(token)
	sum := sha256Of(token)
	secrets := map[string]string{
		"token":           token,
		"secret":          token[18:45],
		"half its secret": token[18:31],
		"checksum's end":  token[36:],
		"digest":          sum,
		"half the digest": sum[:16],
		"pepper":          pepperBytes,
		"half the pepper": pepperBytes[:16],
	}
	if !bytes.Contains(rec.Bytes(), []byte(sum)) {
		t.Fatal("the record does not hold the digest that this test looks for")
	}
	cfg.Peppers = []apikey.Pepper{pepper}

	t.Run("Token", func(t *testing.T) { checkMasked(t, &issued.Token, secrets) })
	t.Run("Issued", func(t *testing.T) { checkMasked(t, issued, secrets) })
	t.Run("Key", func(t *testing.T) { checkMasked(t, issued.Key, secrets) })
	t.Run("Pepper", func(t *testing.T) { checkMasked(t, &pepper, secrets) })
	t.Run("Digest", func(t *testing.T) { checkMasked(t, &digest, secrets) })
	t.Run("Record", func(t *testing.T) { checkMasked(t, rec, secrets) })
	t.Run("Principal", func(t *testing.T) { checkMasked(t, p, secrets) })
	t.Run("Config", func(t *testing.T) { checkMasked(t, &cfg, secrets) })
	t.Run("ImportParams", func(t *testing.T) {
		checkMasked(t, &apikey.ImportParams{ID: issued.Key.ID, Digest: digest}, secrets)
	})
	t.Run("Manager", func(t *testing.T) {
		for how, text := range printed(hide(&m)) {
			for what, secret := range secrets {
				if as := contains(text, secret); as != "" {
					t.Errorf("under %s it shows the %s %s", how, what, as)
				}
			}
		}
	})
	t.Run("masked form", func(t *testing.T) {
		if got, want := fmt.Sprintf("%s|%v|%+v|%#v|%q|%x", issued.Token, issued.Token, issued.Token, issued.Token, issued.Token, issued.Token),
			strings.Repeat("|rd_sk_"+issued.Key.ID[:8]+"…", 6)[1:]; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	})
	t.Run("a leak is found", func(t *testing.T) {
		found := 0
		for _, text := range printed(shown[string]{Value: token, Any: []byte(sum)}) {
			for _, secret := range secrets {
				if contains(text, secret) != "" {
					found++
				}
			}
		}
		if found < 30 {
			t.Errorf("a struct that shows its token was caught %d times: the search is blind", found)
		}
	})
}

// TestPrincipalHoldsNoDigest walks all memory that can be reached from a
// Principal, as a deep printer does.
func TestPrincipalHoldsNoDigest(t *testing.T) {
	m, token := oneKey(t, nil, "calls:*")
	p, _, err := m.Verify(t.Context(), apikey.Request{Token: token})
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256Of(token)
	var walk func(v reflect.Value, depth int)
	strings_ := 0
	walk = func(v reflect.Value, depth int) {
		if depth > 20 {
			return
		}
		switch v.Kind() {
		case reflect.String:
			strings_++
			if strings.Contains(v.String(), sum) || strings.Contains(v.String(), token) {
				t.Error("a digest or token is within reach of the Principal")
			}
		case reflect.Pointer, reflect.Interface:
			if !v.IsNil() {
				walk(v.Elem(), depth+1)
			}
		case reflect.Struct:
			for _, field := range v.Fields() {
				walk(field, depth+1)
			}
		case reflect.Slice, reflect.Array:
			for i := range v.Len() {
				walk(v.Index(i), depth+1)
			}
		}
	}
	walk(reflect.ValueOf(p), 0)
	if strings_ == 0 {
		t.Error("the walk found no string at all")
	}
}

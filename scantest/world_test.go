package scantest

import (
	"go/doc"
	"go/parser"
	"go/token"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/memstore"
)

// formats are those whose rules the examples print: the default shape, two
// environments of one service, and the shortest that New accepts.
var formats = []apikey.Format{
	{Prefix: "rg_live_", Environment: "live"},
	{Prefix: "rg_test_", Environment: "test"},
	{Prefix: "rk_live_", Environment: "live", IDLen: 7, SecretLen: 19},
	{Prefix: "rd_sk_"},
}

// ruleID is what the examples call the rule of a format.
func ruleID(f apikey.Format) string { return f.Prefix + "api_key" }

// printed is what an example prints: the comment that go test compares with it.
func printed(example string) (string, bool) {
	file, err := parser.ParseFile(token.NewFileSet(), "example_rules_test.go", nil, parser.ParseComments)
	if err != nil {
		return "", false
	}
	examples := doc.Examples(file)
	i := slices.IndexFunc(examples, func(e *doc.Example) bool { return e.Name == example })
	if i < 0 || examples[i].Unordered {
		return "", false
	}
	return examples[i].Output, examples[i].Output != ""
}

func newManager(t *testing.T) *apikey.Manager {
	t.Helper()
	m, err := apikey.New(memstore.New(), &apikey.Config{Formats: formats})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close(t.Context()) })
	return m
}

// allowlisted matches what the default configuration of gitleaks lets pass
// whatever the rule, as docs/leaks.md says: its global allowlist has
// (?i)^true|false|null$, where | binds the least.
var allowlisted = regexp.MustCompile(`(?i)^true|false|null$`)

// issue makes a key and its token, anew if chance made one that gitleaks lets
// pass (one in 400,000), so that no test fails by it.
func issue(t *testing.T, m *apikey.Manager, f apikey.Format) *apikey.Issued {
	t.Helper()
	for {
		issued, err := m.Keyring("acct_42", apikey.Operator("scantest")).Create(t.Context(), apikey.KeyParams{
			Name: "Production", Prefix: f.Prefix, Environment: f.Environment,
		})
		if err != nil {
			t.Fatal(err)
		}
		if !allowlisted.MatchString(issued.Token.Reveal()) {
			return issued
		}
	}
}

// mistyped is a token with another last character, so that its checksum is wrong.
func mistyped(token string) string {
	last := "x"
	if strings.HasSuffix(token, last) {
		last = "y"
	}
	return token[:len(token)-1] + last
}

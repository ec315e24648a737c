package scantest

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/viper"
	"github.com/zricethezav/gitleaks/v8/cmd/scm"
	"github.com/zricethezav/gitleaks/v8/config"
	"github.com/zricethezav/gitleaks/v8/detect"
	"github.com/zricethezav/gitleaks/v8/report"
	"github.com/zricethezav/gitleaks/v8/sources"

	"github.com/go-apikey/apikey"
)

const extend = "[extend]\nuseDefault = true\n"

// A configuration of gitleaks, loaded.
type configuration struct {
	name string
	toml string
	config.Config
}

// loaded has what the example prints, and the same without gitleaks' own
// rules. Once for all tests: gitleaks keeps what it loads in global variables,
// and adds its own rules to the first two only.
var loaded = sync.OnceValues(func() (loaded [2]configuration, err error) {
	toml, ok := printed("_gitleaks")
	if !ok || !strings.Contains(toml, extend) {
		return loaded, fmt.Errorf("the example prints %q", toml)
	}
	alone := configuration{name: "alone", toml: strings.Replace(toml, extend, "", 1)}
	extended := configuration{name: "extended", toml: toml}
	alone.Config, err = load(alone.toml)
	if err != nil {
		return loaded, err
	}
	extended.Config, err = load(extended.toml)
	return [2]configuration{alone, extended}, err
})

// load does what the command gitleaks does with a .gitleaks.toml.
func load(toml string) (config.Config, error) {
	viper.SetConfigType("toml")
	if err := viper.ReadConfig(strings.NewReader(toml)); err != nil {
		return config.Config{}, err
	}
	var vc config.ViperConfig
	if err := viper.Unmarshal(&vc); err != nil {
		return config.Config{}, err
	}
	return vc.Translate()
}

// eachConfiguration runs a test with the rules as they are printed, and with
// them alone.
func eachConfiguration(t *testing.T, test func(t *testing.T, c configuration)) {
	t.Helper()
	both, err := loaded()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range both {
		t.Run(c.name, func(t *testing.T) { test(t, c) })
	}
}

// detector is one as the command makes it, with its defaults.
func (c configuration) detector(t *testing.T) *detect.Detector {
	t.Helper()
	d := detect.NewDetectorContext(t.Context(), c.Config)
	d.MaxDecodeDepth = 5
	return d
}

// ours are the findings by one of the rules that the example prints.
func ours(findings []report.Finding) []report.Finding {
	var found []report.Finding
	for _, finding := range findings {
		for _, f := range formats {
			if finding.RuleID == ruleID(f) {
				found = append(found, finding)
			}
		}
	}
	return found
}

// scanDirectory does what gitleaks dir does.
func (c configuration) scanDirectory(t *testing.T, dir string) []report.Finding {
	t.Helper()
	d := c.detector(t)
	d.Config.Path = filepath.Join(dir, ".gitleaks.toml")
	writeFile(t, d.Config.Path, c.toml)
	findings, err := d.DetectSource(t.Context(), &sources.Files{Config: &d.Config, Path: dir, Sema: d.Sema})
	if err != nil {
		t.Fatal(err)
	}
	return ours(findings)
}

func TestGitleaksLoadsRules(t *testing.T) {
	eachConfiguration(t, func(t *testing.T, c configuration) {
		for _, f := range formats {
			rule, ok := c.Rules[ruleID(f)]
			if !ok {
				t.Errorf("there is no rule %s", ruleID(f))
				continue
			}
			if rule.Regex.String() != f.Regexp() {
				t.Errorf("%s has the pattern %s, want %s", rule.RuleID, rule.Regex, f.Regexp())
			}
			if diff := cmp.Diff([]string{f.Prefix}, rule.Keywords); diff != "" {
				t.Errorf("%s: keywords (-want +got)\n%s", rule.RuleID, diff)
			}
			if rule.Entropy != 0 || len(rule.Allowlists) > 0 {
				t.Errorf("%s would pass tokens over: entropy %v, %d allowlists", rule.RuleID, rule.Entropy, len(rule.Allowlists))
			}
		}
		const own = 100 // gitleaks has over 200 rules of its own
		if extended := len(c.Rules) > own; extended != (c.name == "extended") {
			t.Errorf("%d rules", len(c.Rules))
		}
	})
}

// TestGitleaksFindsTokens puts a token of each format into each place, and has
// all of them found, whole, on their lines, and nothing else.
func TestGitleaksFindsTokens(t *testing.T) {
	type found struct {
		Rule, Secret string
		Line         int
	}
	m := newManager(t)
	dir := t.TempDir()
	want := make(map[string]found)
	for _, f := range formats {
		for _, p := range places {
			token := issue(t, m, f).Token.Reveal()
			file := filepath.Join(dir, f.Prefix, p.file)
			writeFile(t, file, p.text(token))
			want[file] = found{ruleID(f), token, p.line}
		}
	}
	eachConfiguration(t, func(t *testing.T, c configuration) {
		got := make(map[string]found)
		for _, finding := range c.scanDirectory(t, dir) {
			now := found{finding.RuleID, finding.Secret, finding.StartLine}
			if earlier, ok := got[finding.File]; ok && earlier != now { // the same one, as it stands and decoded, is no harm
				t.Errorf("%s: both %v and %v", finding.File, earlier, now)
			}
			got[finding.File] = now
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	})
}

// TestGitleaksFindsGluedTokens: two tokens with nothing between them are two.
func TestGitleaksFindsGluedTokens(t *testing.T) {
	m := newManager(t)
	eachConfiguration(t, func(t *testing.T, c configuration) {
		for _, first := range formats {
			for _, second := range formats {
				a, b := issue(t, m, first).Token.Reveal(), issue(t, m, second).Token.Reveal()
				want := map[string]bool{a: true, b: true}
				got := make(map[string]bool)
				for _, finding := range ours(c.detector(t).DetectString(a + b)) {
					got[finding.Secret] = true
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s after %s (-want +got)\n%s", second.Prefix, first.Prefix, diff)
				}
			}
		}
	})
}

// TestGitleaksFindsRemovedTokens commits tokens and removes them: gitleaks git
// finds them in the history, and gitleaks git --staged the one that is about
// to be committed.
func TestGitleaksFindsRemovedTokens(t *testing.T) {
	m := newManager(t)
	dir := t.TempDir()
	git := func(args ...string) {
		cmd := exec.CommandContext(t.Context(), "git", append([]string{"-C", dir, "-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"}, args...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %s: %v\n%s", args[0], err, out)
		}
	}
	git("init", "--quiet")
	var text strings.Builder
	committed := make(map[string]string)
	for _, f := range formats {
		token := issue(t, m, f).Token.Reveal()
		committed[token] = ruleID(f)
		fmt.Fprintf(&text, "KEY=%s\n", token)
	}
	file := filepath.Join(dir, "deploy.sh")
	writeFile(t, file, text.String())
	git("add", "deploy.sh")
	git("commit", "--quiet", "--message", "deploy")
	writeFile(t, file, "KEY=$EXAMPLE_KEY\n")
	git("commit", "--quiet", "--message", "no keys", "deploy.sh")
	staged := issue(t, m, formats[0]).Token.Reveal()
	writeFile(t, file, "KEY="+staged+"\n")
	git("add", "deploy.sh")

	eachConfiguration(t, func(t *testing.T, c configuration) {
		scan := func(cmd *sources.GitCmd, err error) map[string]string {
			if err != nil {
				t.Fatal(err)
			}
			d := c.detector(t)
			findings, err := d.DetectSource(t.Context(), &sources.Git{
				Cmd: cmd, Config: &d.Config, Remote: sources.NewRemoteInfoContext(t.Context(), scm.NoPlatform, dir), Sema: d.Sema,
			})
			if err != nil {
				t.Fatal(err)
			}
			found := make(map[string]string)
			for _, finding := range ours(findings) {
				found[finding.Secret] = finding.RuleID
			}
			return found
		}
		if diff := cmp.Diff(committed, scan(sources.NewGitLogCmdContext(t.Context(), dir, ""))); diff != "" {
			t.Errorf("history (-want +got)\n%s", diff)
		}
		want := map[string]string{staged: ruleID(formats[0])}
		if diff := cmp.Diff(want, scan(sources.NewGitDiffCmdContext(t.Context(), dir, true))); diff != "" {
			t.Errorf("staged (-want +got)\n%s", diff)
		}
	})
}

func TestGitleaksPassesHarmless(t *testing.T) {
	texts := maps.Clone(harmless)
	m := newManager(t)
	for _, f := range formats {
		issued := issue(t, m, f)
		texts[f.Prefix+" printed"] = fmt.Sprintf("%v %+v %q %s", issued.Token, issued, issued.Token, issued.Key.Masked())
		texts[f.Prefix+" ID"] = "key " + issued.Key.ID + " " + f.Prefix + issued.Key.ID
		texts[f.Prefix+" without its prefix"] = strings.TrimPrefix(issued.Token.Reveal(), f.Prefix)
	}
	eachConfiguration(t, func(t *testing.T, c configuration) {
		for name, text := range texts {
			for _, finding := range ours(c.detector(t).DetectString(text)) {
				t.Errorf("%s: %s finds %q in %q", name, finding.RuleID, finding.Secret, text)
			}
		}
	})
}

// TestGitleaksPassesNoneOver: of 2,000 random tokens none is dropped, for too little entropy or by an allowlist.
func TestGitleaksPassesNoneOver(t *testing.T) {
	m := newManager(t)
	want := make(map[string]bool)
	var texts []string // of 20 lines each: what gitleaks needs for one grows with the square of its findings
	for _, f := range formats {
		for range 25 {
			var text strings.Builder
			for range 20 {
				token := issue(t, m, f).Token.Reveal()
				want[token] = true
				fmt.Fprintln(&text, token)
			}
			texts = append(texts, text.String())
		}
	}
	eachConfiguration(t, func(t *testing.T, c configuration) {
		got := make(map[string]bool)
		d := c.detector(t)
		for _, text := range texts {
			for _, finding := range ours(d.DetectString(text)) {
				got[finding.Secret] = true
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	})
}

// TestGitleaksAllowlist holds docs/leaks.md to what it says of the tokens that
// gitleaks' own configuration lets pass, and of the comment that excepts a line.
func TestGitleaksAllowlist(t *testing.T) {
	body := strings.Repeat("aB3", 15)
	for _, row := range []struct {
		name, text      string
		alone, extended int
	}{
		{"as any", "rd_sk_" + body, 1, 1},
		{"with false in it", "rd_sk_" + body[:20] + "FaLSe" + body[25:], 1, 0},
		{"with null at its end", "rd_sk_" + body[:41] + "nULl", 1, 0},
		{"with null in it", "rd_sk_" + body[:20] + "null" + body[24:], 1, 1},
		{"with true in it", "rd_sk_true" + body[4:], 1, 1},
		{"in a line that is excepted", "rd_sk_" + body + " # gitleaks:allow", 0, 0},
	} {
		eachConfiguration(t, func(t *testing.T, c configuration) {
			want := row.alone
			if c.name == "extended" {
				want = row.extended
			}
			if got := len(ours(c.detector(t).DetectString(row.text))); got != want {
				t.Errorf("%s: %d findings, want %d", row.name, got, want)
			}
		})
	}
}

// TestGitleaksThenLookup: what gitleaks reports goes through Lookup, and what
// only has the shape of a token is told from what is one.
func TestGitleaksThenLookup(t *testing.T) {
	ctx := t.Context()
	m, other := newManager(t), newManager(t)
	ring := m.Keyring("acct_42", apikey.Operator("scantest"))
	want := make(map[string]apikey.SecretState)
	var text strings.Builder
	add := func(token string) { fmt.Fprintf(&text, "key = %q\n", token) }
	for _, f := range formats {
		live, revoked, rotated := issue(t, m, f), issue(t, m, f), issue(t, m, f)
		if _, err := ring.Revoke(ctx, revoked.Key.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := ring.Rotate(ctx, rotated.Key.ID, apikey.RotateParams{}); err != nil {
			t.Fatal(err)
		}
		for issued, state := range map[*apikey.Issued]apikey.SecretState{
			live: {N: 1, Live: true}, revoked: {N: 1, Live: true}, rotated: {N: 1},
		} {
			want[issued.Token.Reveal()] = state
			add(issued.Token.Reveal())
		}
		token := live.Token.Reveal()
		add(f.Prefix + strings.Repeat("x", len(token)-len(f.Prefix))) // a placeholder
		add(mistyped(token))
		add(issue(t, other, f).Token.Reveal()) // of another service
	}
	add("rk_" + "live_" + strings.Repeat("aB3", 33)) // of Stripe, which has the prefix too

	eachConfiguration(t, func(t *testing.T, c configuration) {
		got := make(map[string]apikey.SecretState)
		findings := ours(c.detector(t).DetectString(text.String()))
		if n := 6*len(formats) + 1; len(findings) != n {
			t.Errorf("%d findings, want %d", len(findings), n)
		}
		for _, finding := range findings {
			_, state, err := m.Lookup(ctx, finding.Secret)
			switch {
			case err == nil:
				got[finding.Secret] = state
			case !errors.Is(err, apikey.ErrNotFound):
				t.Error(err)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	})
}

func writeFile(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

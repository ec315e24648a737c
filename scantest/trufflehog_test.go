package scantest

import (
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"
)

// trufflehogConfig has the fields of trufflehog's --config that its guide to
// custom detectors documents. A field that it does not know is an error there.
type trufflehogConfig struct {
	Detectors []struct {
		Name                  string
		Description           string
		Keywords              []string
		Regex                 map[string]string
		PrimaryRegexName      string   `yaml:"primary_regex_name"`
		Entropy               float64  `yaml:"entropy"`
		ExcludeWords          []string `yaml:"exclude_words"`
		ExcludeRegexesCapture []string `yaml:"exclude_regexes_capture"`
		ExcludeRegexesMatch   []string `yaml:"exclude_regexes_match"`
		Validations           map[string]map[string]bool
		Verify                []struct {
			Endpoint      string
			Unsafe        bool
			Headers       []string
			SuccessRanges []string `yaml:"successRanges"`
			RotatedRanges []string `yaml:"rotatedRanges"`
		}
	}
}

// trufflehog is one detector, reduced to what the guide says that trufflehog
// does with it: a text that has a keyword, whatever its case, is searched.
type trufflehog struct {
	keyword string
	pattern *regexp.Regexp
}

func (d trufflehog) find(text string) []string {
	if !strings.Contains(strings.ToLower(text), d.keyword) {
		return nil
	}
	return d.pattern.FindAllString(text, -1)
}

// trufflehogDetectors reads what the example prints, and checks it as
// trufflehog does when it starts.
func trufflehogDetectors(t *testing.T) map[string]trufflehog {
	t.Helper()
	text, ok := printed("_trufflehog")
	if !ok {
		t.Fatal("the example prints nothing")
	}
	decoder := yaml.NewDecoder(strings.NewReader(text))
	decoder.KnownFields(true)
	var c trufflehogConfig
	if err := decoder.Decode(&c); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	if err := decoder.Decode(new(any)); !errors.Is(err, io.EOF) {
		t.Fatalf("more than one document, or what is none: %v", err)
	}
	detectors := make(map[string]trufflehog)
	for _, d := range c.Detectors {
		if len(d.Keywords) != 1 || d.Keywords[0] == "" || len(d.Regex) != 1 || d.Regex["token"] == "" {
			t.Fatalf("%s: keywords %q, regex %q; want one of each", d.Name, d.Keywords, d.Regex)
		}
		if d.Entropy != 0 || len(d.ExcludeWords)+len(d.ExcludeRegexesCapture)+len(d.ExcludeRegexesMatch)+len(d.Validations) > 0 {
			t.Errorf("%s would pass tokens over: %+v", d.Name, d)
		}
		pattern, err := regexp.Compile(d.Regex["token"])
		if err != nil {
			t.Fatal(err)
		}
		if pattern.NumSubexp() > 0 {
			t.Errorf("%s: a group in %s would be reported in place of the token", d.Name, pattern)
		}
		if _, ok := detectors[d.Name]; ok {
			t.Errorf("two detectors are called %s", d.Name)
		}
		detectors[d.Name] = trufflehog{strings.ToLower(d.Keywords[0]), pattern}
	}
	return detectors
}

func TestTrufflehogRules(t *testing.T) {
	detectors := trufflehogDetectors(t)
	if len(detectors) != len(formats) {
		t.Errorf("%d detectors, want %d", len(detectors), len(formats))
	}
	m := newManager(t)
	for _, f := range formats {
		detector, ok := detectors[ruleID(f)]
		if !ok {
			t.Errorf("there is no detector %s", ruleID(f))
			continue
		}
		for _, p := range places {
			if p.code {
				continue // trufflehog decodes, this test does not
			}
			token := issue(t, m, f).Token.Reveal()
			if diff := cmp.Diff([]string{token}, detector.find(p.text(token))); diff != "" {
				t.Errorf("%s in %s (-want +got)\n%s", f.Prefix, p.file, diff)
			}
		}
		for range 2000 {
			token := issue(t, m, f).Token.Reveal()
			if diff := cmp.Diff([]string{token}, detector.find("key: "+token)); diff != "" {
				t.Fatalf("%s (-want +got)\n%s", f.Prefix, diff)
			}
		}
		issued := issue(t, m, f)
		for _, text := range []string{issued.Token.String(), issued.Key.Masked(), issued.Key.ID, f.Prefix + issued.Key.ID} {
			if found := detector.find(text); found != nil {
				t.Errorf("%s finds %q in %q", f.Prefix, found, text)
			}
		}
		for name, text := range harmless {
			if found := detector.find(text); found != nil {
				t.Errorf("%s: %s finds %q in %q", name, f.Prefix, found, text)
			}
		}
	}
}

// TestTrufflehogThenLookup: of what the detectors find, Lookup knows what is a
// token of this service.
func TestTrufflehogThenLookup(t *testing.T) {
	m, other := newManager(t), newManager(t)
	for _, f := range formats {
		token := issue(t, m, f).Token.Reveal()
		text := strings.Join([]string{token, mistyped(token), issue(t, other, f).Token.Reveal()}, "\n")
		found := trufflehogDetectors(t)[ruleID(f)].find(text)
		if len(found) != 3 {
			t.Errorf("%s: %d found in three lines", f.Prefix, len(found))
		}
		for _, s := range found {
			_, state, err := m.Lookup(t.Context(), s)
			if known := err == nil && state.Live; known != (s == token) {
				t.Errorf("%s: Lookup of what was found: %q, %v", f.Prefix, state, err)
			}
		}
	}
}

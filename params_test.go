package apikey_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/memstore"
)

// wantFields fails unless err is an *InvalidError of exactly these fields, each with a message.
func wantFields(t *testing.T, what string, err error, fields ...string) {
	t.Helper()
	var invalid *apikey.InvalidError
	if !errors.As(err, &invalid) || !errors.Is(err, apikey.ErrInvalid) {
		t.Errorf("%s: error %s, want an *InvalidError of %q", what, errText(err), fields)
		return
	}
	var got []string
	for _, f := range invalid.Fields {
		got = append(got, f.Field)
		if f.Message == "" || !strings.Contains(err.Error(), f.Field+": "+f.Message) {
			t.Errorf("%s: %q does not say what is wrong with %s", what, err, f.Field)
		}
	}
	if d := rigDiff(fields, got); d != "" {
		t.Errorf("%s: fields (-want +got):\n%s\n%v", what, d, err)
	}
}

// manyPermissions are n of them, none covered by another.
func manyPermissions(n int) apikey.Permissions {
	ps := make(apikey.Permissions, n)
	for i := range ps {
		ps[i] = apikey.Permission(fmt.Sprintf("p:%d", i))
	}
	return ps
}

// metadata has n entries of together size bytes.
func metadata(n, size int) map[string]string {
	m := make(map[string]string, n)
	for i := range n {
		m[fmt.Sprintf("k%02d", i)] = ""
	}
	m["k00"] = strings.Repeat("v", size-3*n)
	return m
}

// manyLimits are n of them with the same name, or with different ones.
func manyLimits(n int, name string) []apikey.LimitOverride {
	ls := make([]apikey.LimitOverride, n)
	for i := range ls {
		ls[i].Limit = apikey.PerMinute(5)
		if ls[i].Name = name; name == "" {
			ls[i].Name = fmt.Sprint("l", i)
		}
	}
	return ls
}

func oneLimit(l apikey.Limit) []apikey.LimitOverride { return []apikey.LimitOverride{{Limit: l}} }

// paramBounds are inputs at and beyond each bound of a key.
func paramBounds() []paramBound {
	ok := apikey.Limit{Name: "l", N: 1, Per: time.Millisecond}
	limit := func(change func(*apikey.Limit)) func(*apikey.KeyParams) {
		return func(p *apikey.KeyParams) {
			l := ok
			change(&l)
			p.Limits = oneLimit(l)
		}
	}
	name := func(s string) func(*apikey.KeyParams) { return func(p *apikey.KeyParams) { p.Name = s } }
	description := func(s string) func(*apikey.KeyParams) { return func(p *apikey.KeyParams) { p.Description = s } }
	perms := func(ps ...apikey.Permission) func(*apikey.KeyParams) {
		return func(p *apikey.KeyParams) { p.Permissions = ps }
	}
	meta := func(m map[string]string) func(*apikey.KeyParams) {
		return func(p *apikey.KeyParams) { p.Metadata = m }
	}
	expires := func(at time.Time) func(*apikey.KeyParams) { return func(p *apikey.KeyParams) { p.ExpiresAt = at } }
	begins := func(at time.Time) func(*apikey.KeyParams) { return func(p *apikey.KeyParams) { p.NotBefore = at } }
	until := func(at time.Time) func(*apikey.KeyParams) {
		return func(p *apikey.KeyParams) { p.Limits = []apikey.LimitOverride{{Limit: ok, Until: at}} }
	}
	end := time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC)
	return []paramBound{
		{"name of 256 characters", name(strings.Repeat("ü", 256)), nil},
		{"name of 257 characters", name(strings.Repeat("ü", 257)), []string{"Name"}},
		{"no name", name(""), []string{"Name"}},
		{"name with NUL", name("a\x00b"), []string{"Name"}},
		{"name with CR", name("a\rb"), []string{"Name"}},
		{"name with LF", name("a\nb"), []string{"Name"}},
		{"name with tab", name("a\tb"), []string{"Name"}},
		{"name with DEL", name("a\x7fb"), []string{"Name"}},
		{"name with a C1 control", name("a\u0085b"), []string{"Name"}},
		{"name with a right-to-left override", name("a\u202eb"), []string{"Name"}},
		{"name with an isolate", name("a\u2067b"), []string{"Name"}},
		{"name with a line separator", name("a\u2028b"), []string{"Name"}},
		{"name that is not UTF-8", name("a\xffb"), []string{"Name"}},
		{"name in Hebrew", name("מפתח"), nil},
		{"name of markup and quotes", name(`<script>'";--%_\`), nil},
		{"description of 1024 characters, with lines", description(strings.Repeat("ü\n", 512)), nil},
		{"description of 1025 characters", description(strings.Repeat("ü", 1025)), []string{"Description"}},
		{"description with CR", description("a\r\nb"), []string{"Description"}},
		{"description with NUL", description("\x00"), []string{"Description"}},
		{"description with a right-to-left override", description("\u202e"), []string{"Description"}},
		{"name and description", func(p *apikey.KeyParams) { p.Name, p.Description = "", "\x00" }, []string{"Name", "Description"}},
		{"1000 permissions", perms(manyPermissions(1000)...), nil},
		{"1001 permissions", perms(manyPermissions(1001)...), []string{"Permissions"}},
		{"permission of 128 bytes in 8 segments", perms(apikey.Permission("a:b:c:d:e:f:g:" + strings.Repeat("h", 114))), nil},
		{"permission of 129 bytes", perms(apikey.Permission(strings.Repeat("h", 129))), []string{"Permissions[0]"}},
		{"permission of 9 segments", perms("a:b:c:d:e:f:g:h:i"), []string{"Permissions[0]"}},
		{"malformed permissions", perms("a", "", "A", "a:", ":a", "a::b", "a*", "a b", "ä", "a:*", "a\x00"), []string{
			"Permissions[1]", "Permissions[2]", "Permissions[3]", "Permissions[4]", "Permissions[5]", "Permissions[6]", "Permissions[7]", "Permissions[8]", "Permissions[10]",
		}},
		{"32 entries of metadata and 4096 bytes", meta(metadata(32, 4096)), nil},
		{"33 entries of metadata", meta(metadata(33, 100)), []string{"Metadata"}},
		{"4097 bytes of metadata", meta(metadata(32, 4097)), []string{"Metadata"}},
		{"metadata without a name", meta(map[string]string{"": "v"}), []string{"Metadata"}},
		{"metadata with NUL in a name", meta(map[string]string{"a\x00": "v"}), []string{"Metadata"}},
		{"metadata with any text as a value", meta(map[string]string{"a": "\x00\r\n\u202e"}), nil},
		{"metadata that is not UTF-8", meta(map[string]string{"a": "\xff"}), []string{"Metadata"}},
		{"expiry a microsecond away", expires(rigStart.Add(time.Microsecond)), nil},
		{"expiry now", expires(rigStart), []string{"ExpiresAt"}},
		{"expiry that is now in whole microseconds", expires(rigStart.Add(999)), []string{"ExpiresAt"}},
		{"expiry past", expires(rigStart.Add(-time.Hour)), []string{"ExpiresAt"}},
		{"expiry at the end of 9999", expires(end), nil},
		{"expiry in the year 10000", expires(end.Add(time.Nanosecond)), []string{"ExpiresAt"}},
		{"expiry in the year 300000", expires(time.Date(300000, 1, 1, 0, 0, 0, 0, time.UTC)), []string{"ExpiresAt"}},
		{"begin in the year 10000", begins(end.Add(time.Nanosecond)), []string{"NotBefore"}},
		{"begin in the year 300000", begins(time.Date(300000, 1, 1, 0, 0, 0, 0, time.UTC)), []string{"NotBefore"}},
		{"begin before 1970", begins(time.Unix(-1, 0)), []string{"NotBefore"}},
		{"begin past", begins(rigStart.AddDate(-1, 0, 0)), nil},
		{"begin just before the end", func(p *apikey.KeyParams) { p.NotBefore, p.ExpiresAt = end.Add(-time.Microsecond), end }, nil},
		{"begin at the end", func(p *apikey.KeyParams) { p.NotBefore, p.ExpiresAt = end, end }, []string{"NotBefore"}},
		{"begin after the end", func(p *apikey.KeyParams) { p.NotBefore, p.ExpiresAt = end, end.Add(-time.Hour) }, []string{"NotBefore"}},
		{"the least limit", limit(func(*apikey.Limit) {}), nil},
		{"the largest limit", limit(func(l *apikey.Limit) { l.N, l.Burst, l.Per = 1e9, 1e9, 366*24*time.Hour }), nil},
		{"limit of 0", limit(func(l *apikey.Limit) { l.N = 0 }), []string{"Limits[0].N"}},
		{"limit below 0", limit(func(l *apikey.Limit) { l.N = -1 }), []string{"Limits[0].N"}},
		{"limit above a billion", limit(func(l *apikey.Limit) { l.N = 1e9 + 1 }), []string{"Limits[0].N"}},
		{"limit per less than 1 ms", limit(func(l *apikey.Limit) { l.Per = time.Millisecond - 1 }), []string{"Limits[0].Per"}},
		{"limit per nothing", limit(func(l *apikey.Limit) { l.Per = 0 }), []string{"Limits[0].Per"}},
		{"limit per more than 366 days", limit(func(l *apikey.Limit) { l.Per = 366*24*time.Hour + 1 }), []string{"Limits[0].Per"}},
		{"limit with a burst below 0", limit(func(l *apikey.Limit) { l.Burst = -1 }), []string{"Limits[0].Burst"}},
		{"limit with a burst above a billion", limit(func(l *apikey.Limit) { l.Burst = 1e9 + 1 }), []string{"Limits[0].Burst"}},
		{"limit without a name", limit(func(l *apikey.Limit) { l.Name = "" }), []string{"Limits[0].Name"}},
		{"limit with a name of 64", limit(func(l *apikey.Limit) { l.Name = strings.Repeat("n", 64) }), nil},
		{"limit with a name of 65", limit(func(l *apikey.Limit) { l.Name = strings.Repeat("n", 65) }), []string{"Limits[0].Name"}},
		{"limit with quotes in its name", limit(func(l *apikey.Limit) { l.Name = `a"b` }), []string{"Limits[0].Name"}},
		{"the zero limit", limit(func(l *apikey.Limit) { *l = apikey.Limit{} }), []string{"Limits[0].Name", "Limits[0].N", "Limits[0].Per"}},
		{"16 limits", func(p *apikey.KeyParams) { p.Limits = manyLimits(16, "") }, nil},
		{"17 limits", func(p *apikey.KeyParams) { p.Limits = manyLimits(17, "") }, []string{"Limits"}},
		{"limits of one name", func(p *apikey.KeyParams) { p.Limits = manyLimits(2, "twice") }, []string{"Limits[1].Name"}},
		{"limit until a microsecond away", until(rigStart.Add(time.Microsecond)), nil},
		{"limit until now", until(rigStart), []string{"Limits[0].Until"}},
		{"limit until the year 10000", until(end.Add(time.Nanosecond)), []string{"Limits[0].Until"}},
	}
}

type paramBound struct {
	name   string
	set    func(*apikey.KeyParams)
	fields []string // that are named in the error; nil: it is accepted
}

func TestCreateBounds(t *testing.T) {
	t.Parallel()
	for _, tt := range paramBounds() {
		r := newRig(t, nil)
		p := apikey.KeyParams{Name: "name"}
		tt.set(&p)
		if tt.fields == nil {
			issued, err := r.as(operator).Create(t.Context(), p)
			if err != nil {
				t.Errorf("%s: %v", tt.name, err)
			} else if d := rigDiff(issued.Key, r.get(issued.Key.ID)); d != "" {
				t.Errorf("%s: (-returned +stored):\n%s", tt.name, d)
			}
			continue
		}
		before, calls := r.snapshot(), r.store.calls.Load()
		issued, err := r.as(operator).Create(t.Context(), p)
		wantFields(t, tt.name, err, tt.fields...)
		if issued != nil || r.store.calls.Load() != calls {
			t.Errorf("%s: a key %v, or a call of the store", tt.name, issued)
		}
		r.unchanged(before, tt.name)
	}
}

func TestUpdateBounds(t *testing.T) {
	t.Parallel()
	for _, tt := range paramBounds() {
		r := newRig(t, nil)
		zero := apikey.KeyParams{Name: "name"}
		p := zero
		tt.set(&p)
		u := apikey.KeyUpdate{}
		if p.Name != zero.Name {
			u.Name = &p.Name
		}
		if p.Description != "" {
			u.Description = &p.Description
		}
		if p.Permissions != nil {
			u.Permissions = &p.Permissions
		}
		if !p.NotBefore.IsZero() {
			u.NotBefore = &p.NotBefore
		}
		if !p.ExpiresAt.IsZero() {
			u.ExpiresAt = &p.ExpiresAt
		}
		if p.Limits != nil {
			u.Limits = &p.Limits
		}
		if p.Metadata != nil {
			u.Metadata = &p.Metadata
		}
		id := r.issue(zero).Key.ID
		before := r.snapshot()
		key, err := r.as(operator).Update(t.Context(), id, u)
		if tt.fields == nil {
			if err != nil {
				t.Errorf("%s: %v", tt.name, err)
			} else if d := rigDiff(key, r.get(id)); d != "" || key.Version != 2 {
				t.Errorf("%s: version %d (-returned +stored):\n%s", tt.name, key.Version, d)
			}
			continue
		}
		wantFields(t, tt.name, err, tt.fields...)
		r.unchanged(before, tt.name)
	}
}

// A change of one of two times is held against the other as it is stored.
func TestUpdateHoldsTimesAgainstEachOther(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	hour := func(n int) *time.Time { return new(rigStart.Add(time.Duration(n) * time.Hour)) }
	id := r.issue(apikey.KeyParams{NotBefore: *hour(1), ExpiresAt: *hour(3)}).Key.ID
	before := r.snapshot()
	_, err := r.as(operator).Update(t.Context(), id, apikey.KeyUpdate{NotBefore: hour(3)})
	wantFields(t, "begin at the stored end", err, "NotBefore")
	_, err = r.as(operator).Update(t.Context(), id, apikey.KeyUpdate{ExpiresAt: hour(1)})
	wantFields(t, "end at the stored begin", err, "NotBefore")
	r.unchanged(before, "times the wrong way round")
	_, err = r.as(operator).Update(t.Context(), id, apikey.KeyUpdate{NotBefore: hour(4), ExpiresAt: hour(5)})
	wantError(t, "both moved", err, nil)

	// A key that has expired may be renamed, and have the same limits.
	r.advance(6 * time.Hour)
	_, err = r.as(operator).Update(t.Context(), id, apikey.KeyUpdate{Name: new("expired")})
	wantError(t, "renaming an expired key", err, nil)
}

func TestCatalogBoundsWhatIsGranted(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(cfg *apikey.Config) {
		cfg.Catalog = &apikey.Catalog{Permissions: []apikey.PermissionInfo{{Permission: "calls:read"}, {Permission: "calls:create"}}}
	})
	id := r.issue(apikey.KeyParams{Permissions: apikey.Permissions{"calls:read"}}).Key.ID
	before := r.snapshot()
	wrong := apikey.Permissions{"calls:*", "cals:read", "*:raed"}
	_, err := r.as(operator).Create(t.Context(), apikey.KeyParams{Name: "x", Permissions: wrong})
	wantFields(t, "Create", err, "Permissions[1]", "Permissions[2]")
	_, err = r.as(operator).Update(t.Context(), id, apikey.KeyUpdate{Permissions: &wrong})
	wantFields(t, "Update", err, "Permissions[1]", "Permissions[2]")
	r.unchanged(before, "permissions outside the catalog")
}

func TestCreateChoosesTheFormat(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	tests := []struct {
		prefix, environment string
		want                string   // prefix of the token
		fields              []string // or those that are wrong
	}{
		{"", "", "rg_live_", nil},
		{"new_live_", "", "new_live_", nil},
		{"rk_live_", "live", "rk_live_", nil},
		{"", "live", "rg_live_", nil},
		{"", "test", "rg_test_", nil},
		{"rg_test_", "live", "", []string{"Prefix"}},
		{"", "staging", "", []string{"Environment"}},
		{"unknown_", "", "", []string{"Prefix"}},
		{"old_live_", "", "", []string{"Prefix"}},
		{"old_live_", "live", "", []string{"Prefix"}},
	}
	for _, tt := range tests {
		what := fmt.Sprintf("prefix %q in environment %q", tt.prefix, tt.environment)
		issued, err := r.as(operator).Create(t.Context(), apikey.KeyParams{Name: "x", Prefix: tt.prefix, Environment: tt.environment})
		if tt.fields != nil {
			wantFields(t, what, err, tt.fields...)
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		environment := map[bool]string{true: "test", false: "live"}[tt.want == "rg_test_"]
		if got := issued.Key; got.Secrets[0].Prefix != tt.want || got.Environment != environment || !strings.HasPrefix(issued.Token.Reveal(), tt.want+got.ID) {
			t.Errorf("%s: %v in environment %q", what, issued.Token, got.Environment)
		}
	}
	retired := newRig(t, func(cfg *apikey.Config) { cfg.Formats = []apikey.Format{{Prefix: "old_", NoIssue: true}} })
	_, err := retired.as(operator).Create(t.Context(), apikey.KeyParams{Name: "x"})
	wantFields(t, "no format that is issued", err, "Prefix")
}

// What is wrong with a Config is said at once, all of it.
func TestConfigNamesEveryFault(t *testing.T) {
	t.Parallel()
	pepper, err := apikey.NewPepper(1, make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	faults := map[string]func(*apikey.Config){
		"Formats[0].Prefix":                 func(c *apikey.Config) { c.Formats[0].Prefix = "RG_" },
		"Formats[0].Environment":            func(c *apikey.Config) { c.Formats[0].Environment = "Live!" },
		"Formats[0].IDLen":                  func(c *apikey.Config) { c.Formats[0].IDLen = 6 },
		"Formats[1].IDLen":                  func(c *apikey.Config) { c.Formats[1].IDLen = 33 },
		"Formats[1].SecretLen":              func(c *apikey.Config) { c.Formats[1].SecretLen = 18 },
		"Formats[2].SecretLen":              func(c *apikey.Config) { c.Formats[2].SecretLen = 65 },
		"Formats[2].Prefix":                 func(c *apikey.Config) { c.Formats[2].Prefix = c.Formats[1].Prefix },
		"Peppers[0]":                        func(c *apikey.Config) { c.Peppers[0] = apikey.Pepper{} },
		"Peppers[2]":                        func(c *apikey.Config) { c.Peppers[2] = pepper },
		"Catalog.Permissions[0].Permission": func(c *apikey.Config) { c.Catalog.Permissions[0].Permission = "calls:*" },
		"Catalog.Presets[0].Name":           func(c *apikey.Config) { c.Catalog.Presets[0].Name = "" },
		"PlanTTL":                           func(c *apikey.Config) { c.PlanTTL = -1 },
		"StoreTimeout":                      func(c *apikey.Config) { c.StoreTimeout = time.Microsecond },
		"FlushInterval":                     func(c *apikey.Config) { c.FlushInterval = -time.Second },
	}
	fresh := func() *apikey.Config {
		return &apikey.Config{
			Formats: []apikey.Format{{Prefix: "a_"}, {Prefix: "b_"}, {Prefix: "c_"}},
			Peppers: []apikey.Pepper{mustPepper(t, 7), pepper, mustPepper(t, 3)},
			Catalog: &apikey.Catalog{Permissions: []apikey.PermissionInfo{{Permission: "calls:read"}}, Presets: []apikey.Preset{{Name: "p"}}},
		}
	}
	if m, err := apikey.New(memstore.New(), fresh()); err != nil {
		t.Fatalf("a good Config: %v", err)
	} else if err := m.Close(t.Context()); err != nil {
		t.Error(err)
	}
	all := fresh()
	for field, spoil := range faults {
		one := fresh()
		spoil(one)
		_, err := apikey.New(memstore.New(), one)
		wantFields(t, "New", err, field)
		spoil(all)
	}
	m, err := apikey.New(nil, all)
	if m != nil {
		t.Error("a Manager with a wrong Config")
	}
	var invalid *apikey.InvalidError
	if !errors.As(err, &invalid) {
		t.Fatalf("New: %v", err)
	}
	var got []string
	for _, f := range invalid.Fields {
		got = append(got, f.Field)
	}
	slices.Sort(got)
	if d := rigDiff(slices.Sorted(slices.Values(append(slices.Collect(maps.Keys(faults)), "store"))), got); d != "" {
		t.Errorf("all faults at once (-want +got):\n%s", d)
	}

	_, err = apikey.New(memstore.New(), &apikey.Config{Formats: []apikey.Format{}})
	wantFields(t, "no formats", err, "Formats")
	_, err = apikey.New(nil, nil)
	wantFields(t, "no store and no Config", err, "store")
}

func mustPepper(t *testing.T, version uint32) apikey.Pepper {
	t.Helper()
	p, err := apikey.NewPepper(version, []byte(strings.Repeat(fmt.Sprint(version%10), 32)))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A Config is the Manager's own once it is given.
func TestConfigIsCopied(t *testing.T) {
	t.Parallel()
	cfg := &apikey.Config{Formats: []apikey.Format{{Prefix: "a_"}}, Peppers: []apikey.Pepper{mustPepper(t, 1)}}
	m, err := apikey.New(memstore.New(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := m.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	cfg.Formats[0].Prefix, cfg.Peppers[0], cfg.Now = "b_", apikey.Pepper{}, func() time.Time { panic("not mine") }
	issued, err := m.Keyring(rigOwner, operator).Create(t.Context(), apikey.KeyParams{Name: "x"})
	if err != nil {
		t.Fatal(err)
	}
	if got := verdictOf(t.Context(), m, issued.Token.Reveal()); got != "ok" || !strings.HasPrefix(issued.Token.Reveal(), "a_") {
		t.Errorf("%v: %s", issued.Token, got)
	}
	m.Formats()[0].Prefix = "c_"
	if got := m.Formats()[0].Prefix; got != "a_" {
		t.Errorf("Formats()[0] is now %s", got)
	}
}

func TestQueryBounds(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.issue(apikey.KeyParams{})
	r.issue(apikey.KeyParams{})
	page, err := r.as(nobody).List(t.Context(), apikey.Query{Limit: 1})
	if err != nil || page.Next == "" {
		t.Fatalf("List: %v, %v", page, err)
	}
	calls := r.store.calls.Load()
	for field, q := range map[string]apikey.Query{
		"Limit":     {Limit: 1001},
		"IDs":       {IDs: make([]string, 501)},
		"Text":      {Text: strings.Repeat("t", 257)},
		"States[1]": {States: []apikey.State{apikey.StateActive, "alive"}},
		"After":     {After: page.Next + "A"},
	} {
		_, err := r.as(nobody).List(t.Context(), q)
		wantFields(t, "List", err, field)
	}
	for what, q := range map[string]apikey.Query{"negative": {Limit: -1}} {
		_, err := r.as(nobody).List(t.Context(), q)
		wantFields(t, what, err, "Limit")
		_, err = r.as(nobody).History(t.Context(), apikey.HistoryQuery{Limit: q.Limit})
		wantFields(t, what, err, "Limit")
	}
	// The cursor of one owner's list is not another's.
	_, err = r.Keyring("acct_43", nobody).List(t.Context(), apikey.Query{After: page.Next})
	wantFields(t, "another owner's cursor", err, "After")
	if n := r.store.calls.Load() - calls; n != 0 {
		t.Errorf("%d calls reached the store", n)
	}
}

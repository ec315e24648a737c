package apikey

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPermissionsAllows(t *testing.T) {
	t.Parallel()
	tests := []struct {
		granted  string // separated by spaces
		required Permission
		want     bool
	}{
		{"", "calls:create", false},
		{"calls:create", "calls:create", true},
		{"calls:create", "calls:creat", false},
		{"calls:create", "calls", false},
		{"calls", "calls:create", false},
		{"calls:read calls:create", "calls:create", true},
		{"*", "calls", true},
		{"*", "a:b:c:d:e:f:g:h", true},
		{"calls:*", "calls:live:read", true},
		{"calls:*", "calls", false},
		{"calls:*", "callsx:read", false},
		{"*:read", "calls:read", true},
		{"*:read", "integrations:hubspot:read", true},
		{"*:read", "read", false},
		{"*:read", "read:write", false},
		{"a:*:z", "a:b:c:z", true},
		{"a:*:z", "a:z", false},
		{"a:*:z", "a:z:z", true},
		{"*:b:*", "b:b:b", true},
		{"*:b:*", "b:b", false},
		{"*:a:b:*:c", "x:a:a:b:y:c:c", true},
		{"*:a:b:*:c", "x:a:a:b:c", false},
		{"*:*:*:*:*:*:*:*", "a:b:c:d:e:f:g:h", true},
		{"*:*:*:*:*:*:*:*", "a:b:c:d:e:f:g", false},
		// What is malformed matches nothing, on either side.
		{"*", "", false},
		{"*", "*", false},
		{"*", "a:*", false},
		{"*", "A", false},
		{"*", "a::b", false},
		{"*", ":a", false},
		{"*", "a:", false},
		{"*", "a b", false},
		{"*", "é", false},
		{"*", "a:b:c:d:e:f:g:h:i", false},
		{"*", Permission(strings.Repeat("a", 129)), false},
		{"*", Permission(strings.Repeat("a", 128)), true},
		{"a:** a* *a a:*b", "a:b", false},
		{": a: *: :*", "a:b", false},
		{"A:b", "A:b", false},
	}
	for _, tt := range tests {
		var ps Permissions
		for p := range strings.FieldsSeq(tt.granted) {
			ps = append(ps, Permission(p))
		}
		if got := ps.Allows(tt.required); got != tt.want {
			t.Errorf("%q.Allows(%q) = %v, want %v", ps, tt.required, got, tt.want)
		}
	}
	if (Permissions{""}).Allows("") {
		t.Error(`Permissions{""}.Allows("") = true`)
	}
}

func TestPermissionsCovers(t *testing.T) {
	t.Parallel()
	tests := []struct {
		holds, others Permissions
		want          bool
	}{
		{nil, nil, true},
		{nil, Permissions{}, true},
		{nil, Permissions{"a"}, false},
		{Permissions{"*"}, Permissions{"*", "a:*", "*:b", "c"}, true},
		{Permissions{"*:*"}, Permissions{"*"}, false},
		{Permissions{"*"}, Permissions{"*:*"}, true},
		{Permissions{"a:*"}, Permissions{"a:*:b", "a:b"}, true},
		{Permissions{"a:*"}, Permissions{"a"}, false},
		{Permissions{"a:*", "a"}, Permissions{"a", "a:b"}, true},
		{Permissions{"*:read"}, Permissions{"*"}, false},
		{Permissions{"a:b", "a:c"}, Permissions{"a:*"}, false},
		{Permissions{"*:a", "*:b", "a:*"}, Permissions{"*:*"}, false},
		{Permissions{"*"}, Permissions{"a*"}, false},
		{Permissions{"*"}, Permissions{""}, false},
		{Permissions{"a**"}, Permissions{"a**"}, false},
	}
	for _, tt := range tests {
		if got := tt.holds.Covers(tt.others); got != tt.want {
			t.Errorf("%q.Covers(%q) = %v, want %v", tt.holds, tt.others, got, tt.want)
		}
	}
}

// Every permission over two known segments and a fresh one, "z", which no
// pattern of these tests names, up to 8 segments long.
var universe = func() []Permission {
	var all []Permission
	latest := []string{""}
	for range maxPermissionSegments {
		var next []string
		for _, s := range latest {
			for _, segment := range []string{"a", "b", "z"} {
				next = append(next, s+segment+":")
			}
		}
		for _, s := range next {
			all = append(all, Permission(strings.TrimSuffix(s, ":")))
		}
		latest = next
	}
	return all
}()

func TestCoversAgreesWithAllows(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	covered := 0
	for range 1500 {
		ps := Permissions{randomGranted(rnd), randomGranted(rnd), randomGranted(rnd)}
		q := randomGranted(rnd)
		want := !slices.ContainsFunc(universe, func(p Permission) bool {
			return Permissions{q}.Allows(p) && !ps.Allows(p)
		})
		if got := ps.Covers(Permissions{q}); got != want {
			t.Fatalf("%q.Covers(%q) = %v, but by Allows of each permission it is %v", ps, q, got, want)
		}
		if want {
			covered++
		}
	}
	if covered < 100 || covered > 1400 {
		t.Errorf("%d of 1500 cases are covered: the generator is too one-sided to prove anything", covered)
	}
}

// However many permissions a key has, and in whatever order, its Principal can
// do what they allow.
func TestPrincipalCanWhatPermissionsAllow(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(5, 6))
	can := map[bool]int{}
	for range 300 {
		key := Key{ID: "k1", Owner: "acct_42", Version: 1}
		key.Permissions = make(Permissions, rnd.IntN(3*indexAbove))
		for i := range key.Permissions {
			key.Permissions[i] = universe[rnd.IntN(len(universe))]
			if rnd.IntN(20) == 0 {
				key.Permissions[i] = randomGranted(rnd)
			}
		}
		p := key.Principal()
		if got, want := p.index != nil, len(key.Permissions) > indexAbove; got != want {
			t.Fatalf("%d permissions have an index: %v, want %v", len(key.Permissions), got, want)
		}
		for _, required := range slices.Concat(universe, []Permission{"a:*", ""}) {
			want := key.Permissions.Allows(required)
			if got := p.Can(required); got != want {
				t.Fatalf("%q can %q: %v, want %v", key.Permissions, required, got, want)
			}
			can[want]++
		}
	}
	if can[true] < 1000 || can[false] < 1000 {
		t.Errorf("allowed and refused: %v: the generator is too one-sided to prove anything", can)
	}
}

func TestNormalizeKeepsWhatIsAllowed(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		ps := make(Permissions, 1+rnd.IntN(5))
		for i := range ps {
			ps[i] = randomGranted(rnd)
		}
		var f faults
		got := normalizePermissions(ps, nil, &f, "Permissions")
		if len(f) > 0 {
			t.Fatalf("normalizePermissions(%q): %v", ps, f.err())
		}
		for _, p := range universe {
			if got.Allows(p) != ps.Allows(p) {
				t.Fatalf("normalised to %q, %q disagree about %q", got, ps, p)
			}
		}
		for i, p := range got {
			if rest := slices.Delete(slices.Clone(got), i, i+1); rest.Covers(Permissions{p}) {
				t.Fatalf("normalised to %q, though %q is covered by the others", got, p)
			}
		}
		if !slices.IsSorted(got) {
			t.Fatalf("normalised to %q, which is not sorted", got)
		}
	}
}

func randomGranted(rnd *rand.Rand) Permission {
	segments := make([]string, 1+min(rnd.IntN(maxPermissionSegments), rnd.IntN(maxPermissionSegments)))
	for i := range segments {
		segments[i] = []string{"a", "b", "*", "*"}[rnd.IntN(4)]
	}
	return Permission(strings.Join(segments, ":"))
}

func TestNormalizePermissions(t *testing.T) {
	t.Parallel()
	catalog := &Catalog{Permissions: []PermissionInfo{{Permission: "calls:create"}, {Permission: "calls:read"}, {Permission: "billing:read"}}}
	const field = "Permissions"
	tests := []struct {
		name    string
		in      Permissions
		catalog *Catalog
		want    Permissions
		faults  faults
	}{
		{name: "nil", in: nil, want: nil},
		{name: "empty", in: Permissions{}, want: nil},
		{name: "sorted, once", in: Permissions{"b", "a", "b"}, want: Permissions{"a", "b"}},
		{name: "covered are dropped", in: Permissions{"calls:read", "calls:*", "*:read", "billing:read", "calls:*:read"}, want: Permissions{"*:read", "calls:*"}},
		{name: "everything", in: Permissions{"a", "*", "*:*"}, want: Permissions{"*"}},
		{name: "of the catalog", in: Permissions{"calls:create", "*:read", "*"}, catalog: catalog, want: Permissions{"*"}},
		{
			name: "not of the catalog", in: Permissions{"calls:delete", "calls:read", "calls:read:*"}, catalog: catalog,
			faults: faults{{"Permissions[0]", "must be in the catalog or match one that is"}, {"Permissions[2]", "must be in the catalog or match one that is"}},
		},
		{name: "empty catalog", in: Permissions{"*"}, catalog: &Catalog{}, faults: faults{{"Permissions[0]", "must be in the catalog or match one that is"}}},
		{
			name: "malformed", in: Permissions{"a", "", "a*", "a:b:c:d:e:f:g:h:i", Permission(strings.Repeat("a", 129))},
			faults: faults{{"Permissions[1]", grantedForm}, {"Permissions[2]", grantedForm}, {"Permissions[3]", grantedForm}, {"Permissions[4]", grantedForm}},
		},
		{name: "as many as may be", in: slices.Repeat(Permissions{"a"}, 1000), want: Permissions{"a"}},
		{name: "too many", in: slices.Repeat(Permissions{"a"}, 1001), faults: faults{{field, "must be at most 1000 permissions, not 1001"}}},
	}
	for _, tt := range tests {
		before := slices.Clone(tt.in)
		var f faults
		got := normalizePermissions(tt.in, tt.catalog, &f, field)
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", tt.name, diff)
		}
		if diff := cmp.Diff(tt.faults, f); diff != "" {
			t.Errorf("%s: faults (-want +got)\n%s", tt.name, diff)
		}
		if !slices.Equal(tt.in, before) {
			t.Errorf("%s: the input became %q", tt.name, tt.in)
		}
	}
	in := Permissions{"a", "b"}
	if got := normalizePermissions(in, nil, new(faults), field); &got[0] == &in[0] {
		t.Error("the result shares its array with the input")
	}
}

func TestCatalogCheck(t *testing.T) {
	t.Parallel()
	var none *Catalog
	good := &Catalog{
		Permissions: []PermissionInfo{{Permission: "calls:create", Title: "Make calls", Group: "Calls"}, {Permission: "calls:read"}},
		Presets:     []Preset{{Name: "Read only", Permissions: Permissions{"*:read"}}, {Name: "nothing"}},
	}
	for _, c := range []*Catalog{none, {}, good} {
		var f faults
		if c.check(&f); len(f) > 0 {
			t.Errorf("%+v: %v", c, f.err())
		}
	}
	bad := &Catalog{
		Permissions: []PermissionInfo{{Permission: "calls:*"}, {Permission: "a"}, {Permission: "a"}, {}},
		Presets:     []Preset{{Permissions: Permissions{"a"}}, {Name: "x"}, {Name: "x", Permissions: Permissions{"a", "b:*", "a**"}}},
	}
	want := faults{
		{"Catalog.Permissions[0].Permission", requiredForm},
		{"Catalog.Permissions[2].Permission", "is in the catalog twice"},
		{"Catalog.Permissions[3].Permission", requiredForm},
		{"Catalog.Presets[0].Name", "must not be empty"},
		{"Catalog.Presets[2].Name", "must be unique among the presets"},
		{"Catalog.Presets[2].Permissions[1]", "must be in the catalog or match one that is"},
		{"Catalog.Presets[2].Permissions[2]", grantedForm},
	}
	var got faults
	bad.check(&got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

var (
	oracleGranted  = regexp.MustCompile(`\A(?:[a-z0-9_-]+|\*)(?::(?:[a-z0-9_-]+|\*)){0,7}\z`)
	oracleRequired = regexp.MustCompile(`\A[a-z0-9_-]+(?::[a-z0-9_-]+){0,7}\z`)
)

// oracleAllows is the meaning of Permission, written as a regular expression.
func oracleAllows(granted, required string) bool {
	if len(granted) > 128 || len(required) > 128 || !oracleGranted.MatchString(granted) || !oracleRequired.MatchString(required) {
		return false
	}
	segments := strings.Split(granted, ":")
	for i, s := range segments {
		if s == "*" {
			segments[i] = `[^:]+(?::[^:]+)*`
		}
	}
	return regexp.MustCompile(`\A` + strings.Join(segments, ":") + `\z`).MatchString(required)
}

func FuzzPermission(f *testing.F) {
	for _, seed := range [][2]string{{"calls:*", "calls:live:read"}, {"*:a:b:*:c", "x:a:a:b:y:c:c"}, {"*:*", "a"}, {"*:read", "*:read"}, {"a::b", "a::b"}, {"*:b:*:b", "b:b:b:b"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, granted, required string) {
		g, r := Permission(granted), Permission(required)
		if got, want := g.validGranted(), len(granted) <= 128 && oracleGranted.MatchString(granted); got != want {
			t.Errorf("%q: valid as a granted one: %v, want %v", g, got, want)
		}
		if got, want := r.validRequired(), len(required) <= 128 && oracleRequired.MatchString(required); got != want {
			t.Errorf("%q: valid as a required one: %v, want %v", r, got, want)
		}
		if got, want := (Permissions{g}).Allows(r), oracleAllows(granted, required); got != want {
			t.Errorf("{%q}.Allows(%q) = %v, want %v", g, r, got, want)
		}
		if g.validGranted() && !(Permissions{g}).Covers(Permissions{g}) {
			t.Errorf("%q does not cover itself", g)
		}
	})
}

func TestAllowsDoesNotAllocate(t *testing.T) {
	ps := Permissions{"billing:*", "*:a:b:*:c"}
	if n := testing.AllocsPerRun(100, func() { _ = ps.Allows("x:a:a:b:y:c:c") }); n != 0 {
		t.Errorf("Allows allocates %v times, want 0", n)
	}
}

func BenchmarkPermissionsAllows(b *testing.B) {
	many := make(Permissions, maxPermissions)
	for i := range many {
		many[i] = Permission(fmt.Sprintf("calls:%04d", i))
	}
	worst := Permission("a:a:a:a:a:a:a:a")
	for _, bb := range []struct {
		name     string
		ps       Permissions
		required Permission
	}{
		{"same", Permissions{"calls:create"}, "calls:create"},
		{"wildcard", Permissions{"calls:*"}, "calls:create"},
		{"backtracking", Permissions{"*:a:a:a:b", "*:a:*:a:*:b"}, worst},
		{"lastOf1000", many, "calls:0999"},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				bb.ps.Allows(bb.required)
			}
		})
	}
}

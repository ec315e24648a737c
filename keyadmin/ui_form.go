package keyadmin

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-apikey/apikey"
)

// keyForm is the form of a new key and of a change, as a person filled it in.
type keyForm struct {
	Name, Description, Prefix string
	Preset                    string // name; "": single permissions
	Permissions               []string
	Expiry                    string // "30", "90", "365", "date", "never", or "keep"
	Date                      string
	Networks                  string // one a line
	Limits                    []limitRow
	Metadata                  []metaRow

	At      string // when the form of a new key was made
	Version int64  // of the key that the form of a change shows

	Faults []formFault
}

type limitRow struct{ Name, N, Per, Burst, Until string }

type metaRow struct{ Name, Value string }

// formFault is what is wrong with a field.
type formFault struct{ Field, Message string }

// Fault is what is wrong with a field; "": nothing.
func (f *keyForm) Fault(field string) string {
	var all []string
	for _, fault := range f.Faults {
		if fault.Field == field {
			all = append(all, fault.Message)
		}
	}
	return strings.Join(all, " ")
}

// readKeyForm reads what was posted.
func readKeyForm(in url.Values) *keyForm {
	f := &keyForm{
		Name: strings.TrimSpace(in.Get("name")), Description: lines(in.Get("description")), Prefix: in.Get("prefix"),
		Preset: in.Get("preset"), Expiry: in.Get("expiry"), Date: in.Get("date"), Networks: lines(in.Get("networks")), At: in.Get("at"),
	}
	f.Version, _ = strconv.ParseInt(in.Get("version"), 10, 64)
	for _, p := range in["permission"] {
		f.Permissions = append(f.Permissions, strings.Fields(p)...) // one each, or a text of many
	}
	at := func(name string, i int) string {
		if i < len(in[name]) {
			return strings.TrimSpace(in[name][i])
		}
		return ""
	}
	for i := range min(len(in["limit_name"]), 64) {
		row := limitRow{at("limit_name", i), at("limit_n", i), at("limit_per", i), at("limit_burst", i), at("limit_until", i)}
		if row != (limitRow{}) {
			f.Limits = append(f.Limits, row)
		}
	}
	for i := range min(len(in["meta_name"]), 64) {
		row := metaRow{at("meta_name", i), lines(at("meta_value", i))}
		if row != (metaRow{}) {
			f.Metadata = append(f.Metadata, row)
		}
	}
	return f
}

// lines has lines end as they do everywhere but in forms.
func lines(s string) string { return strings.ReplaceAll(s, "\r\n", "\n") }

// fault notes what is wrong with a field.
func (f *keyForm) fault(field, message string) {
	f.Faults = append(f.Faults, formFault{field, message})
}

// permissions are the ones chosen, as one of the catalog's presets or singly.
func (f *keyForm) permissions() apikey.Permissions {
	if f.Preset != "" {
		return nil
	}
	out := apikey.Permissions{}
	for _, p := range f.Permissions {
		out = append(out, apikey.Permission(p))
	}
	return out
}

// networks are the lines that are not empty.
func (f *keyForm) networks() []string {
	return strings.FieldsFunc(f.Networks, func(r rune) bool { return r == '\n' || r == ',' || r == ' ' || r == '\t' })
}

// expires is when the key ends: the zero time for never.
func (f *keyForm) expires(now time.Time) time.Time {
	switch f.Expiry {
	case "30", "90", "365":
		days, _ := strconv.Atoi(f.Expiry)
		return now.UTC().AddDate(0, 0, days).Truncate(time.Second)
	case "date":
		day, err := time.Parse(time.DateOnly, f.Date)
		if err != nil {
			f.fault("expiry", "Choose the last day on which the key works.")
			return time.Time{}
		}
		return day.AddDate(0, 0, 1) // all of that day
	case "never":
		return time.Time{}
	}
	f.fault("expiry", "Choose how long the key works.")
	return time.Time{}
}

// limits are the rows as JSON has them.
func (f *keyForm) limits() []limitJSON {
	out := []limitJSON{}
	for i, row := range f.Limits {
		l := limitJSON{Name: row.Name}
		wrong := func(what string) { f.fault("limits", fmt.Sprintf("Limit %d: %s", i+1, what)) }
		var err error
		if l.N, err = strconv.Atoi(row.N); err != nil {
			wrong("the number of requests must be a whole number.")
		}
		if l.PerSeconds, err = strconv.ParseFloat(row.Per, 64); err != nil || !(l.PerSeconds >= 0.001 && l.PerSeconds <= 31622400) {
			wrong("the seconds must be a number of 0.001 to 31622400.")
			l.PerSeconds = 1
		}
		if l.Burst, err = strconv.Atoi(or(row.Burst, "0")); err != nil {
			wrong("the burst must be a whole number.")
		}
		if row.Until != "" {
			if l.Until, err = time.Parse(time.RFC3339, row.Until); err != nil {
				wrong("its end must be a time such as 2026-01-02T15:04:05Z.")
			}
		}
		out = append(out, l)
	}
	return out
}

// metadata are the rows; a name twice is at fault.
func (f *keyForm) metadata() map[string]string {
	out := map[string]string{}
	for _, row := range f.Metadata {
		if _, twice := out[row.Name]; twice {
			f.fault("metadata", "Each name may be there once.")
		}
		out[row.Name] = row.Value
	}
	return out
}

// formFields says which field of a form one of the API is.
var formFields = map[string]formFault{
	"name": {"name", "Name"}, "description": {"description", "Description"}, "permissions": {"permissions", "Permission"},
	"preset": {"permissions", "Preset"}, "expires_at": {"expiry", "Expiry"}, "not_before": {"expiry", "The time before which the key does not work"}, "networks": {"networks", "Network"},
	"limits": {"limits", "Limit"}, "metadata": {"metadata", "Metadata"}, "prefix": {"prefix", "Token"}, "environment": {"prefix", "Token"},
	"grace_seconds": {"grace", "The overlap"},
}

var atIndex = regexp.MustCompile(`^\[(\d+)\]`)

// refused notes the faults that an answer of the API names.
func (f *keyForm) refused(p *problem) {
	for _, e := range p.Errors {
		location := strings.TrimPrefix(e.Location, "body.")
		name := location
		if i := strings.IndexAny(location, ".["); i >= 0 {
			name = location[:i]
		}
		field, ok := formFields[name]
		if !ok {
			field = formFault{"form", "The form"}
		}
		label := field.Message
		if m := atIndex.FindStringSubmatch(location[len(name):]); m != nil {
			n, _ := strconv.Atoi(m[1])
			label = fmt.Sprintf("%s %d", label, n+1)
		}
		message := label + " " + strings.TrimSuffix(e.Message, ".") + "."
		if !slices.Contains(f.Faults, formFault{field.Field, message}) {
			f.fault(field.Field, message)
		}
	}
}

// choices are the permissions that a form offers.
type choices struct {
	Presets []presetJSON
	Groups  []choiceGroup
	Free    bool // there is no catalog: any may be typed
}

type choiceGroup struct {
	Name  string
	Items []choice
}

type choice struct {
	permissionJSON
	Checked bool
}

// choices offers the catalog, and besides what the form has that the catalog
// does not: a pattern such as "calls:*", or what the catalog had once.
func (u *ui) choices(v *view, f *keyForm, cat *catalogJSON) choices {
	c := choices{Presets: cat.Presets, Free: u.known == nil}
	if c.Free {
		return c
	}
	add := func(p permissionJSON, checked bool) {
		i := slices.IndexFunc(c.Groups, func(g choiceGroup) bool { return g.Name == p.Group })
		if i < 0 {
			i = len(c.Groups)
			c.Groups = append(c.Groups, choiceGroup{Name: p.Group})
		}
		c.Groups[i].Items = append(c.Groups[i].Items, choice{p, checked})
	}
	rest := slices.Clone(f.Permissions)
	for _, p := range cat.Permissions {
		checked := slices.Contains(rest, string(p.Permission))
		rest = slices.DeleteFunc(rest, func(s string) bool { return s == string(p.Permission) })
		add(p, checked)
	}
	for _, s := range rest {
		p := apikey.Permission(s)
		add(permissionJSON{Permission: p, Title: s, Group: "Other", Allowed: v.who.mayGrant(apikey.Permissions{p})}, true)
	}
	slices.SortStableFunc(c.Groups, func(a, b choiceGroup) int { // what has no group comes last
		return boolInt(a.Name == "") - boolInt(b.Name == "")
	})
	return c
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

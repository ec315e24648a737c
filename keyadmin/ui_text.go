package keyadmin

import (
	"fmt"
	"html/template"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-apikey/apikey"
)

// functions are what templates call.
var functions = template.FuncMap{
	"num":    grouped[int],
	"num64":  grouped[int64],
	"join":   strings.Join,
	"inc":    func(i int) int { return i + 1 },
	"state":  stateWord,
	"action": actionWord,
	"reason": reasonWord,
	"plural": plural[int64],
	"per":    perWord,
	"dict":   dict,
	"where":  whereWord,
	"keep":   keptExpiry,

	"limitRows": func(f *keyForm) []limitRow { return append(slices.Clone(f.Limits), limitRow{}, limitRow{}) },
	"metaRows":  func(f *keyForm) []metaRow { return append(slices.Clone(f.Metadata), metaRow{}, metaRow{}) },
}

// whereWord is a location of the API, where a page has no field for it.
func whereWord(location string) string {
	words := map[string]string{"query.q": "The search", "query.state": "The state", "query.cursor": "The page", "body.environment": "The environment"}
	return or(words[location], location)
}

func keptExpiry(v *view, k *apikey.Key) string {
	if k.ExpiresAt.IsZero() {
		return "never"
	}
	return v.Date(k.ExpiresAt)
}

// dict is the arguments of a template within a template.
func dict(pairs ...any) map[string]any {
	m := map[string]any{}
	for i := 0; i+1 < len(pairs); i += 2 {
		m[fmt.Sprint(pairs[i])] = pairs[i+1]
	}
	return m
}

// grouped writes a number as 12,345.
func grouped[N int | int64](n N) string {
	s := strconv.FormatInt(int64(n), 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// plural is "1 key", "2 keys".
func plural[N int | int64](n N, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return grouped(n) + " " + one + "s"
}

// ago says when something was or will be, seen from now.
func ago(now, t time.Time) string {
	d := now.Sub(t)
	ahead := d < 0
	d = d.Abs()
	var s string
	switch {
	case d < time.Minute:
		if ahead {
			return "in a moment"
		}
		return "just now"
	case d < time.Hour:
		s = plural(int(d/time.Minute), "minute")
	case d < 48*time.Hour:
		s = plural(int(d/time.Hour), "hour")
	case d < 60*24*time.Hour:
		s = plural(int(d/(24*time.Hour)), "day")
	case d < 730*24*time.Hour:
		s = plural(int(d/(30*24*time.Hour)), "month")
	default:
		s = plural(int(d/(365*24*time.Hour)), "year")
	}
	if ahead {
		return "in " + s
	}
	return s + " ago"
}

func stateWord(s apikey.State) string {
	return strings.ToUpper(string(s[:1])) + string(s[1:])
}

// actionWord is what was done to a key, for people.
func actionWord(verb string) string {
	if s, ok := map[string]string{
		"create": "Created", "update": "Changed", "disable": "Disabled", "enable": "Enabled", "hold": "Held", "release": "Released",
		"rotate": "Rotated", "end-rotation": "Earlier token ended", "revoke": "Revoked", "delete": "Deleted", "import": "Imported",
		"rehash": "Stored anew",
	}[verb]; ok {
		return s
	}
	return verb
}

// reasonWord is why a key was last refused.
func reasonWord(r apikey.Reason) string {
	if s, ok := map[apikey.Reason]string{
		apikey.ReasonInvalid: "from an address that is not among its networks", apikey.ReasonRevoked: "it is revoked",
		apikey.ReasonHeld: "it is held", apikey.ReasonDisabled: "it is disabled", apikey.ReasonExpired: "it has expired",
		apikey.ReasonNotYetValid: "it is not valid yet", apikey.ReasonRotated: "an old token, replaced by rotation, was used",
		apikey.ReasonPlan: "the plan does not allow it", apikey.ReasonEnvironment: "it is of another environment",
		apikey.ReasonOwner: "what it asked for belongs to another account", apikey.ReasonPermission: "it lacks the permission",
		apikey.ReasonRateLimited: "over a limit",
	}[r]; ok {
		return s
	}
	return string(r)
}

// perWord is a span of time as in "300 requests per minute".
func perWord(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch d {
	case time.Second:
		return "second"
	case time.Minute:
		return "minute"
	case time.Hour:
		return "hour"
	case 24 * time.Hour:
		return "day"
	}
	switch {
	case d%(24*time.Hour) == 0:
		return plural(int(d/(24*time.Hour)), "day")
	case d%time.Hour == 0:
		return plural(int(d/time.Hour), "hour")
	case d%time.Minute == 0:
		return plural(int(d/time.Minute), "minute")
	}
	return d.String()
}

// notices are what a person is told after an action.
var notices = map[string]string{
	"saved":    "Your changes are saved. They apply from the next request on.",
	"disabled": "The key is disabled. Requests with it are refused until it is enabled again.",
	"enabled":  "The key is enabled. It works again.",
	"held":     "The key is held. Only an operator can release it.",
	"released": "The key is released.",
	"ended":    "The earlier token has ended. Only the newest one works.",
	"revoked":  "The key is revoked. It will never work again.",
	"deleted":  "The key is deleted. Its history stays.",
}

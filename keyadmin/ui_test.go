package keyadmin_test

import (
	"compress/gzip"
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/internal/secretwatch"
	"github.com/go-apikey/apikey/keyadmin"
	"github.com/google/go-cmp/cmp"
)

// page asks for a page, or sends it a form if there is one, and holds the
// answer against what is promised of every page.
func (w *world) page(t testing.TB, as, path string, form url.Values, header ...string) *answer {
	t.Helper()
	for name, id := range w.ids {
		path = strings.ReplaceAll(path, "{"+name+"}", id)
	}
	method, body := http.MethodGet, io.Reader(nil)
	if form != nil {
		method, body = http.MethodPost, strings.NewReader(form.Encode())
	}
	r, err := http.NewRequestWithContext(t.Context(), method, w.server.URL+"/dashboard/"+path, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-User", as)
	r.Header.Set("Accept-Encoding", "identity")
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return w.sent(t, r)
}

func (w *world) sent(t testing.TB, r *http.Request) *answer {
	t.Helper()
	client := *w.server.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(secretwatch.Error(t.Name(), err))
	}
	a := &answer{status: resp.StatusCode, header: resp.Header}
	a.body, err = io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	if token := shownToken(a); token != "" {
		secretwatch.Reveal(t.Name()+": HTTP body", token)
	}
	secretwatch.Response(t.Name(), a.status, a.header, a.body)
	checkHeaders(t, request{method: http.MethodHead, path: r.URL.Path}, a) // HEAD: not that of a problem document
	if kind := a.header.Get("Content-Type"); kind != "text/html; charset=utf-8" && a.status/100 != 3 {
		t.Errorf("%s %s: %d with Content-Type %q", r.Method, r.URL.Path, a.status, kind)
	}
	if text := string(a.body); strings.Contains(text, " style=") || strings.Contains(text, "<style") || strings.Contains(text, "javascript:") || strings.Contains(text, "http://") {
		t.Errorf("%s %s: something in it that the policy forbids", r.Method, r.URL.Path)
	}
	return a
}

var inToken = regexp.MustCompile(`data-token[^>]*>([^<]+)</textarea>`)

// shownToken is the token in an answer; "": there is none.
func shownToken(a *answer) string {
	if m := inToken.FindSubmatch(a.body); m != nil {
		return string(m[1])
	}
	return ""
}

var hidden = regexp.MustCompile(`<input type="hidden" name="(\w+)" value="([^"]*)">`)

// formOn is what a form on a page holds by itself.
func formOn(a *answer, more ...string) url.Values {
	form := url.Values{}
	for _, m := range hidden.FindAllSubmatch(a.body, -1) {
		form.Set(string(m[1]), html.UnescapeString(string(m[2])))
	}
	for i := 0; i < len(more); i += 2 {
		form.Add(more[i], more[i+1])
	}
	return form
}

func (a *answer) says(t testing.TB, status int, texts ...string) *answer {
	t.Helper()
	if a.status != status {
		t.Fatalf("%d, want %d:\n%s", a.status, status, a.body)
	}
	for _, text := range texts {
		if !strings.Contains(string(a.body), html.EscapeString(text)) {
			t.Errorf("the page does not say %q", text)
		}
	}
	return a
}

// follows checks where an answer leads, and goes there.
func (w *world) follows(t testing.TB, as string, a *answer, from, to string) *answer {
	t.Helper()
	base, err := url.Parse("/dashboard/" + from)
	if err != nil {
		t.Fatal(err)
	}
	for name, id := range w.ids {
		base.Path, to = strings.ReplaceAll(base.Path, "{"+name+"}", id), strings.ReplaceAll(to, "{"+name+"}", id)
	}
	at, err := base.Parse(a.header.Get("Location"))
	if err != nil || a.status != http.StatusSeeOther || at.String() != "/dashboard/"+to {
		t.Fatalf("%d leads to %v, want %s (%v)\n%s", a.status, at, to, err, a.body)
	}
	return w.page(t, as, to, nil)
}

// TestPageLife does all that the page can, by its forms.
func TestPageLife(t *testing.T) {
	w := newWorld(t)
	works := func(token string) bool {
		t.Helper()
		_, _, err := w.manager.Verify(t.Context(), apikey.Request{Token: token})
		return err == nil
	}
	act := func(verb, done, notice string) {
		t.Helper()
		from := "ui/keys/{it}/" + verb
		a := w.page(t, "support", from, formOn(w.page(t, "support", "ui/keys/{it}", nil)))
		w.follows(t, "support", a, from, "ui/keys/{it}?done="+done).says(t, 200, notice)
	}
	w.page(t, "support", "", nil).says(t, 200, "No keys yet", "1,000", "Acme")
	blank := w.page(t, "support", "ui/new", nil).says(t, 200, "Read jobs", "Read only", "rd_test_")
	form := formOn(blank, "name", "first", "description", "two\r\nlines", "prefix", "rd_sk_", "preset", "", "permission", "jobs:read",
		"permission", "jobs:write", "expiry", "date", "date", "2026-07-31", "networks", "192.0.2.1\r\n2001:db8::/32\r\n")
	made := w.page(t, "support", "ui/keys", form).says(t, 200, "It will not be shown again")
	first := shownToken(made)
	page, err := w.manager.Keyring("acme", support).List(t.Context(), apikey.Query{})
	if err != nil || len(page.Keys) != 1 {
		t.Fatal(page, err)
	}
	k := page.Keys[0]
	w.ids["it"] = k.ID
	if k.Name != "first" || k.Description != "two\nlines" || len(k.Permissions) != 2 || len(k.Networks) != 2 || !k.ExpiresAt.Equal(time.Date(2026, 8, 1, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("made: %+v", k)
	}
	w.page(t, "support", "ui/keys", form).says(t, 409, "This form has already made a key", "first")

	edit := w.page(t, "support", "ui/keys/{it}/edit", nil).says(t, 200, "192.0.2.1/32", "two\nlines")
	form = formOn(edit, "name", "second", "description", "two\r\nlines", "preset", "read-only", "expiry", "never", "networks", "",
		"limit_name", "minute", "limit_n", "500", "limit_per", "60", "limit_burst", "", "limit_until", "2027-01-01T00:00:00Z", "meta_name", "ticket", "meta_value", "7")
	w.follows(t, "support", w.page(t, "support", "ui/keys/{it}/edit", form), "ui/keys/{it}/edit", "ui/keys/{it}?done=saved").
		says(t, 200, "second", "*:read", "From anywhere", "Never", "500 requests per minute", "ticket")
	if !works(first) {
		t.Error("the token does not work")
	}
	w.page(t, "support", "ui/keys/{it}/edit", form).says(t, 412, "The key was changed meanwhile")

	act("disable", "disabled", "The key is disabled")
	if works(first) {
		t.Error("a disabled key works")
	}
	act("enable", "enabled", "The key is enabled")
	act("hold", "held", "The key is held")
	act("release", "released", "The key is released")

	ask := w.page(t, "support", "ui/keys/{it}/rotate", nil).says(t, 200, "24 hours")
	form = formOn(ask, "grace", "86400")
	second := shownToken(w.page(t, "support", "ui/keys/{it}/rotate", form).says(t, 200, "It will not be shown again", "The earlier token works until"))
	if second == "" || !works(first) || !works(second) {
		t.Error("not both work")
	}
	w.page(t, "support", "ui/keys/{it}/rotate", form).says(t, 412, "No token was made now")
	again := formOn(w.page(t, "support", "ui/keys/{it}/rotate", nil).says(t, 200, "End the earlier token now"), "grace", "3600")
	w.page(t, "support", "ui/keys/{it}/rotate", again).says(t, 409, "Tick below")
	again.Set("end_oldest", "1")
	third := shownToken(w.page(t, "support", "ui/keys/{it}/rotate", again).says(t, 200, "It will not be shown again"))
	if works(first) || !works(second) || !works(third) {
		t.Error("the wrong one was ended")
	}
	w.page(t, "support", "ui/keys/{it}", nil).says(t, 200, "Two tokens work")
	act("end-rotation", "ended", "The earlier token has ended")
	if works(second) || !works(third) {
		t.Error("the wrong one was ended")
	}
	w.page(t, "support", "ui/keys/{it}/delete", nil).says(t, 409, "Only a revoked or expired key")
	w.page(t, "support", "ui/keys/{it}/revoke", nil).says(t, 200, "Revoke “", "for ever")
	act("revoke", "revoked", "It will never work again")
	if works(third) {
		t.Error("a revoked key works")
	}
	w.page(t, "support", "ui/keys/{it}/revoke", nil).says(t, 409, "Revoked is for ever")
	w.page(t, "support", "ui/keys/{it}/delete", nil).says(t, 200, "Its history stays")
	w.follows(t, "support", w.page(t, "support", "ui/keys/{it}/delete", formOn(blank)), "ui/keys/{it}/delete", "?done=deleted").says(t, 200, "The key is deleted")
	w.page(t, "support", "ui/history", nil).says(t, 200, "Deleted", "Created", w.ids["it"])
	w.page(t, "support", "ui/keys/{it}/history", nil).says(t, 200, "History of a deleted key", "Rotated")
	w.page(t, "support", "ui/keys/{it}", nil).says(t, 404)
}

// TestPageRefuses: every form and who must not send it, or not so; the store
// is as before, and the token is in none of the answers.
func TestPageRefuses(t *testing.T) {
	w := newWorld(t)
	w.keys(t)
	good := formOn(w.page(t, "ana", "ui/new", nil), "name", "x", "preset", "read-only", "expiry", "90")
	with := func(name, value string) url.Values {
		form := url.Values{"owner": good["owner"], "at": good["at"], "name": good["name"], "preset": good["preset"], "expiry": good["expiry"]}
		form.Set(name, value)
		return form
	}
	version := url.Values{"owner": {"acme"}, "version": {"1"}, "name": {"x"}, "preset": {""}, "permission": {"jobs:read"}, "expiry": {"keep"}, "grace": {"0"}}
	stale := url.Values{"owner": {"acme"}, "version": {"9"}, "name": {"typed with care"}, "expiry": {"keep"}, "grace": {"0"}}
	before := w.snapshot(t)
	for name, c := range map[string]struct {
		as, path string
		form     url.Values
		header   []string
		status   int
		says     string
	}{
		"nobody":                     {"", "ui/keys", good, nil, 401, "Not signed in"},
		"nobody looks":               {"", "", nil, nil, 401, "Not signed in"},
		"no session":                 {"nobody", "", nil, nil, 403, "No access"},
		"left the account":           {"lapsed", "", nil, nil, 403, "No access"},
		"a looker creates":           {"cy", "ui/keys", good, nil, 403, "Your role does not allow this"},
		"a looker opens the form":    {"cy", "ui/new", nil, nil, 403, "Your role does not allow this"},
		"a looker edits":             {"cy", "ui/keys/{own}/edit", version, nil, 403, "Your role"},
		"a looker rotates":           {"cy", "ui/keys/{own}/rotate", version, nil, 403, "Your role"},
		"a looker revokes":           {"cy", "ui/keys/{own}/revoke", version, nil, 403, "Your role"},
		"a looker disables":          {"cy", "ui/keys/{own}/disable", version, nil, 403, "Your role"},
		"a looker deletes":           {"cy", "ui/keys/{revoked}/delete", version, nil, 403, "Your role"},
		"a member holds":             {"ana", "ui/keys/{own}/hold", version, nil, 403, "Only the operators"},
		"a member releases":          {"ana", "ui/keys/{held}/release", version, nil, 403, "Only the operators"},
		"above the ceiling":          {"low", "ui/keys", with("preset", "read-only"), nil, 403, "The key may do more than you may"},
		"rotates above the ceiling":  {"low", "ui/keys/{high}/rotate", version, nil, 403, "The key may do more than you may"},
		"edits above the ceiling":    {"low", "ui/keys/{high}/edit", version, nil, 403, "The key may do more than you may"},
		"of another account":         {"bo", "ui/keys/{own}/revoke", url.Values{}, nil, 404, "There is no such key"},
		"form of another account":    {"ana", "ui/keys", with("owner", "beta"), nil, 409, "You look at another account now"},
		"switch to a stranger's":     {"ana", "ui/owner", url.Values{"to": {"beta"}}, nil, 403, "You have no access"},
		"another origin":             {"ana", "ui/keys", good, []string{"Sec-Fetch-Site", "cross-site"}, 403, "this site’s own pages"},
		"origin null":                {"ana", "ui/keys", good, []string{"Origin", "null", "Sec-Fetch-Site", "same-origin"}, 403, "this site’s own pages"},
		"text as a form":             {"ana", "ui/keys", good, []string{"Content-Type", "text/plain"}, 415, "could not be read"},
		"multipart":                  {"ana", "ui/keys", good, []string{"Content-Type", "multipart/form-data; boundary=x"}, 415, "could not be read"},
		"too long":                   {"ana", "ui/keys", with("description", strings.Repeat("x", 2<<20)), nil, 415, "could not be read"},
		"no name":                    {"ana", "ui/keys", with("name", " "), nil, 422, "Name must"},
		"a long name":                {"ana", "ui/keys", with("name", strings.Repeat("x", 257)), nil, 422, "Name must"},
		"a bidi mark":                {"ana", "ui/keys", with("name", "a\u202eb"), nil, 422, "Name must"},
		"no such preset":             {"ana", "ui/keys", with("preset", "everything"), nil, 422, "Preset must"},
		"no expiry":                  {"ana", "ui/keys", with("expiry", ""), nil, 422, "Choose how long"},
		"no date":                    {"ana", "ui/keys", with("expiry", "date"), nil, 422, "Choose the last day"},
		"a network":                  {"ana", "ui/keys", with("networks", "192.0.2.0/24\neverywhere"), nil, 422, "Network 2 must be a network"},
		"a prefix":                   {"ana", "ui/keys", with("prefix", "zz_"), nil, 422, "Token must"},
		"a stale edit":               {"ana", "ui/keys/{own}/edit", stale, nil, 412, "typed with care"},
		"a stale rotation":           {"ana", "ui/keys/{own}/rotate", stale, nil, 412, "No token was made"},
		"a stale enable":             {"ana", "ui/keys/{disabled}/enable", stale, nil, 412, "changed meanwhile"},
		"a stale end":                {"ana", "ui/keys/{rotating}/end-rotation", stale, nil, 412, "changed meanwhile"},
		"a stale release":            {"support", "ui/keys/{held}/release", stale, nil, 412, "changed meanwhile"},
		"a grace":                    {"ana", "ui/keys/{own}/rotate", url.Values{"version": {"1"}, "grace": {"2592001"}}, nil, 422, "Choose how long"},
		"a revoked key":              {"ana", "ui/keys/{revoked}/enable", url.Values{"version": {"2"}}, nil, 409, "Revoked is for ever"},
		"a live key deleted":         {"ana", "ui/keys/{own}/delete", version, nil, 409, "Revoke it first"},
		"a cursor":                   {"ana", "?cursor=nonsense", nil, nil, 422, "The page is not"},
		"a state":                    {"ana", "?state=nonsense", nil, nil, 422, "The state must"},
		"no such page":               {"ana", "ui/nothing", nil, nil, 404, "Not found"},
		"no such key":                {"ana", "ui/keys/{unknown}", nil, nil, 404, "No such key"},
		"a limit that is no number":  {"support", "ui/keys/{own}/edit", url.Values{"version": {"1"}, "name": {"own"}, "preset": {""}, "permission": {"jobs:read"}, "expiry": {"keep"}, "limit_name": {"x"}, "limit_n": {"many"}, "limit_per": {"NaN"}}, nil, 422, "Limit 1: the number of requests"},
		"metadata of one name twice": {"support", "ui/keys/{own}/edit", url.Values{"version": {"1"}, "name": {"own"}, "preset": {""}, "permission": {"jobs:read"}, "expiry": {"keep"}, "meta_name": {"x", "x"}, "meta_value": {"1", "2"}}, nil, 422, "Each name may be there once"},
	} {
		t.Run(name, func(t *testing.T) {
			a := w.page(t, c.as, c.path, c.form, c.header...)
			if a.status != c.status || !strings.Contains(html.UnescapeString(string(a.body)), strings.ReplaceAll(c.says, "’", "'")) {
				t.Errorf("%d, want %d with %q:\n%s", a.status, c.status, c.says, a.body)
			}
			if shownToken(a) != "" {
				t.Error("a token is shown")
			}
			if c.form.Get("name") != "" && len(c.form.Get("name")) < 300 && (a.status == 422 || a.status == 412) && strings.HasSuffix(c.path, "/edit") &&
				!strings.Contains(string(a.body), c.form.Get("name")) {
				t.Error("what was typed is lost")
			}
			w.unchanged(t, before)
		})
	}
}

// TestPageMember: who is no operator can neither see nor set what operators do.
func TestPageMember(t *testing.T) {
	w := newWorld(t)
	w.make(t, "acme", "own", apikey.KeyParams{Permissions: apikey.Permissions{"jobs:read"}, Metadata: map[string]string{"ticket": "4711"}})
	for _, path := range []string{"ui/keys/{own}", "ui/keys/{own}/edit", "ui/keys/{own}/history"} {
		if body := string(w.page(t, "ana", path, nil).says(t, 200).body); strings.Contains(body, "4711") || strings.Contains(body, "limit_name") || strings.Contains(body, "/hold") {
			t.Errorf("%s shows what is for operators", path)
		}
	}
	form := formOn(w.page(t, "ana", "ui/keys/{own}/edit", nil), "name", "own", "preset", "", "permission", "jobs:read", "expiry", "keep",
		"limit_name", "minute", "limit_n", "9", "limit_per", "60", "meta_name", "ticket", "meta_value", "1")
	w.follows(t, "ana", w.page(t, "ana", "ui/keys/{own}/edit", form), "ui/keys/{own}/edit", "ui/keys/{own}?done=saved")
	k, err := w.manager.Keyring("acme", support).Get(t.Context(), w.ids["own"])
	if err != nil || len(k.Limits) != 0 || k.Metadata["ticket"] != "4711" {
		t.Errorf("%+v, %v", k, err)
	}
}

// TestPageIsolation: another owner's key is an unknown one, byte for byte and
// header for header, in every view and for every form.
func TestPageIsolation(t *testing.T) {
	w := newWorld(t)
	w.keys(t)
	for _, as := range []string{"ana", "low", "cy", "support"} {
		for _, verb := range []string{"", "/edit", "/rotate", "/revoke", "/delete", "/history", "?range=7d"} {
			w.same(t, w.page(t, as, "ui/keys/{theirs}"+verb, nil), w.page(t, as, "ui/keys/{unknown}"+verb, nil))
		}
		for _, verb := range []string{"edit", "rotate", "revoke", "delete", "disable", "enable", "hold", "release", "end-rotation"} {
			form := url.Values{"version": {"1"}, "name": {"x"}, "grace": {"0"}, "expiry": {"keep"}}
			w.same(t, w.page(t, as, "ui/keys/{theirs}/"+verb, form), w.page(t, as, "ui/keys/{unknown}/"+verb, form))
		}
	}
}

func (w *world) same(t *testing.T, a, b *answer) {
	t.Helper()
	a.header.Del("Date")
	b.header.Del("Date")
	if diff := cmp.Diff(b.header, a.header); diff != "" || a.status != b.status || string(a.body) != string(b.body) || a.status < 400 {
		t.Errorf("%d and %d: %s", a.status, b.status, diff)
	}
}

// TestPageNames: whatever a name holds, it is text.
func TestPageNames(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' onclick='alert(1)`, `{{.Session}}`, strings.Repeat("😀", 256)} {
		w.make(t, "acme", name, apikey.KeyParams{Description: name, Metadata: map[string]string{"m": name}})
		w.ids["it"] = w.ids[name]
		delete(w.ids, name)
		for _, path := range []string{"", "?q=" + url.QueryEscape(name[:min(len(name), 256)]), "ui/keys/{it}", "ui/keys/{it}/edit", "ui/keys/{it}/rotate", "ui/keys/{it}/revoke", "ui/keys/{it}/history", "ui/history"} {
			body := string(w.page(t, "support", path, nil).says(t, 200).body)
			if strings.Contains(body, name) && strings.ContainsAny(name, `<>"'`) {
				t.Errorf("%s: %q is there as it is", path, name)
			}
			if path != "ui/history" && !strings.Contains(html.UnescapeString(body), name) {
				t.Errorf("%s: %q is not there", path, name)
			}
		}
	}
}

// TestPageFiles: style, script and sign are kept by browsers, compressed, and
// anybody's; a page with a token is never compressed.
func TestPageFiles(t *testing.T) {
	w := newWorld(t)
	list := w.page(t, "ana", "", nil)
	files := regexp.MustCompile(`(?:href|src)="\./(ui/(?:app|icon)-[0-9a-f]+\.\w+)"`).FindAllSubmatch(list.body, -1)
	if len(files) < 3 {
		t.Fatalf("%d files in %s", len(files), list.body)
	}
	for _, f := range files {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.server.URL+"/dashboard/"+string(f[1]), http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Accept-Encoding", "gzip")
		resp, err := w.server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		z, err := gzip.NewReader(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(z)
		_ = resp.Body.Close()
		if err != nil || len(text) == 0 || resp.StatusCode != 200 || resp.Header.Get("Cache-Control") != "public, max-age=31536000, immutable" || resp.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d, %v, %v", f[1], resp.StatusCode, resp.Header, err)
		}
		if strings.Contains(string(text), "accent-day") {
			t.Errorf("%s has no accent", f[1])
		}
	}
	form := formOn(w.page(t, "ana", "ui/new", nil), "name", "x", "preset", "", "expiry", "never")
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.server.URL+"/dashboard/ui/keys", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = http.Header{"X-User": {"ana"}, "Content-Type": {"application/x-www-form-urlencoded"}, "Accept-Encoding": {"gzip"}}
	if a := w.sent(t, r); a.header.Get("Content-Encoding") != "" || shownToken(a) == "" {
		t.Errorf("a token in an answer of encoding %q", a.header.Get("Content-Encoding"))
	}
}

// TestSwitchOwner: the host is asked, for one of the person's owners.
func TestSwitchOwner(t *testing.T) {
	w := newWorld(t)
	var to string
	h, err := keyadmin.New(w.manager, &keyadmin.Config{Identify: w.identify, SwitchOwner: func(rw http.ResponseWriter, r *http.Request, owner string) {
		to = owner
		http.Redirect(rw, r, "/dashboard/", http.StatusSeeOther)
	}})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/dashboard/", h)
	w.server.Config.Handler = mux
	w.page(t, "support", "", nil).says(t, 200, "Switch", "beta")
	if a := w.page(t, "support", "ui/owner", url.Values{"to": {"beta"}}); a.status != 303 || to != "beta" {
		t.Errorf("%d, %q", a.status, to)
	}
	to = ""
	w.page(t, "support", "ui/owner", url.Values{"to": {"gamma"}}).says(t, 403)
	if to != "" {
		t.Errorf("the host is asked for %q", to)
	}
	if body := string(w.page(t, "ana", "", nil).says(t, 200).body); strings.Contains(body, "ui/owner") {
		t.Error("a switch where there is nothing to switch to")
	}
}

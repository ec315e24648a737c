package demo

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

const (
	userCookie  = "demo_user"
	ownerCookie = "demo_owner"
	dashboard   = "/dashboard/"
)

// login is GET /demo/login?user=ana&owner=beta&to=/dashboard/: it makes a
// browser somebody, who looks at the owner, or at their first.
func (s *service) login(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	user, owner := query.Get("user"), query.Get("owner")
	person, ok := s.people[user]
	if !ok {
		Problem(w, http.StatusUnauthorized, "unidentified", "Nobody of this name is known here.")
		return
	}
	if owner != "" && !slices.Contains(person.Owners, owner) {
		Problem(w, http.StatusForbidden, "no_member", "They are no member of this owner.")
		return
	}
	setCookie(w, userCookie, user)
	setCookie(w, ownerCookie, owner) // "": what the one before looked at may not be theirs
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, within(query.Get("to")), http.StatusSeeOther)
}

// switchOwner has the dashboard look at another owner. It fulfils
// keyadmin.Config.SwitchOwner.
func switchOwner(w http.ResponseWriter, r *http.Request, owner string) {
	setCookie(w, ownerCookie, owner)
	http.Redirect(w, r, dashboard, http.StatusSeeOther)
}

// setCookie sets a cookie for as long as the browser is open; "": it ends it.
func setCookie(w http.ResponseWriter, name, value string) {
	cookie := http.Cookie{Name: name, Value: value, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode}
	if value == "" {
		cookie.MaxAge = -1
	}
	http.SetCookie(w, &cookie)
}

// within is where to go after the login: to, if it is a path of this site.
// "//host" and "/\host" are not.
func within(to string) string {
	u, err := url.Parse(to)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || strings.Contains(to, `\`) ||
		!strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") {
		return dashboard
	}
	return to
}

// whoIsThere is GET /demo/: a page of links, so that nobody has to type them.
func (s *service) whoIsThere(w http.ResponseWriter, _ *http.Request) {
	var b strings.Builder
	fmt.Fprintf(&b, "<!doctype html><html lang=en><title>%s</title><h1>%[1]s</h1><p>Be somebody:<ul>", html.EscapeString(s.Title))
	for _, p := range s.everybody() {
		for _, owner := range p.Owners {
			link := "/demo/login?" + url.Values{"user": {p.ID}, "owner": {owner}, "to": {dashboard}}.Encode()
			fmt.Fprintf(&b, "<li><a href=\"%s\">%s at %s</a>", html.EscapeString(link), html.EscapeString(p.ID), html.EscapeString(s.nameOf(owner)))
		}
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write([]byte(b.String())) // to a browser that may be gone
}

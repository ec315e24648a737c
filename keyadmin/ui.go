package keyadmin

import (
	"bytes"
	"context"
	"html/template"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-apikey/apikey"
)

// ui is the web page. Each of its views is a page of its own and each of its
// actions a form, so that it works without script; the script fetches the very
// same pages and puts them in place. It calls what the JSON API calls, and so
// checks what that checks.
type ui struct {
	*api
	mux       *http.ServeMux
	assets    map[string]*asset // by path
	style     string            // path of each, relative to the mount
	script    string
	icon      string
	templates map[string]*template.Template
}

func newUI(a *api) *ui {
	u := &ui{api: a, mux: http.NewServeMux()}
	u.loadAssets()
	u.parseTemplates()
	u.get("/{$}", see, u.list)
	u.get("/ui/history", see, u.allChanges)
	u.get("/ui/new", create, u.newKey)
	u.post("/ui/keys", create, u.createKey)
	u.get("/ui/keys/{id}", see, u.key)
	u.get("/ui/keys/{id}/history", see, u.keyChanges)
	u.get("/ui/keys/{id}/edit", change, u.editKey)
	u.post("/ui/keys/{id}/edit", change, u.saveKey)
	u.get("/ui/keys/{id}/rotate", change, u.askRotate)
	u.post("/ui/keys/{id}/rotate", change, u.rotateKey)
	u.registerActions()
	u.post("/ui/owner", see, u.switchOwner)
	return u
}

// isPage reports whether a path within the mount is of the page, not of the API.
func isPage(path string) bool {
	return path == "/" || path == "/ui" || strings.HasPrefix(path, "/ui/")
}

// view is one request for a page, and what its template is given.
type view struct {
	ui   *ui
	w    http.ResponseWriter
	r    *http.Request
	who  *admitted // nil: nobody was admitted
	form url.Values

	Root   string // of the mount, relative to what was asked for
	Name   string // of the template
	Title  string // of the document
	Status int
	Secret bool   // a token is in it
	At     string // of the key that it is about, relative to the mount; "": of none
	Data   any
}

// serve answers a request for a page. who is nil if p refuses it.
func (u *ui) serve(w http.ResponseWriter, r *http.Request, path string, who *admitted, p *problem) {
	v := &view{ui: u, w: w, r: r, who: who, Root: rootOf(path), Status: http.StatusOK}
	switch {
	case p != nil:
		v.refuse(p)
	case path == "/" && !strings.HasSuffix(askedPath(r), "/"): // else what is relative leads elsewhere
		asked := askedPath(r)
		w.Header().Set("Location", asked[strings.LastIndexByte(asked, '/')+1:]+"/")
		w.WriteHeader(http.StatusPermanentRedirect)
	default:
		if _, pattern := u.mux.Handler(r); pattern == "" {
			v.refuse(errNoCall)
			return
		}
		u.mux.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), viewKey{}, v)))
	}
}

type viewKey struct{}

// askedPath is the path that the client asked for, as far as that is known.
func askedPath(r *http.Request) string {
	if u, err := url.ParseRequestURI(r.RequestURI); err == nil {
		return u.EscapedPath()
	}
	return r.URL.EscapedPath()
}

// rootOf is the mount relative to a path within it.
func rootOf(path string) string {
	return "./" + strings.Repeat("../", strings.Count(path, "/")-1)
}

func (u *ui) get(pattern string, needs ability, serve func(*view) *problem) {
	u.handle("GET "+pattern, needs, serve)
}

// maxForm bounds a form: a description, a thousand permissions and more.
const maxForm = 1 << 20

// post is an action. It must come from a form as the page has it, of the owner
// that is looked at still.
func (u *ui) post(pattern string, needs ability, serve func(*view) *problem) {
	u.handle("POST "+pattern, needs, func(v *view) *problem {
		if kind, _, _ := strings.Cut(v.r.Header.Get("Content-Type"), ";"); !strings.EqualFold(strings.TrimSpace(kind), "application/x-www-form-urlencoded") {
			return errNoForm
		}
		v.r.Body = http.MaxBytesReader(v.w, v.r.Body, maxForm)
		if err := v.r.ParseForm(); err != nil {
			return errNoForm
		}
		v.form = v.r.PostForm
		if owner, ok := v.form["owner"]; ok && pattern != "/ui/owner" && !slices.Equal(owner, []string{v.who.session.Owner}) {
			return errOtherOwner
		}
		return serve(v)
	})
}

var (
	errNoForm     = problemOf(415, "form", "Not a form of this page", "The form could not be read. Nothing was changed. Go back and send it again.")
	errOtherOwner = problemOf(409, "other_owner", "You look at another account now",
		"This form was for another account than the one you switched to meanwhile, perhaps in another tab. Nothing was changed.")
)

func (u *ui) handle(pattern string, needs ability, serve func(*view) *problem) {
	u.mux.HandleFunc(pattern, func(_ http.ResponseWriter, r *http.Request) {
		v, ok := r.Context().Value(viewKey{}).(*view)
		if !ok {
			panic("keyadmin: a page that was not asked for")
		}
		v.r = r
		p := v.who.may(see, false)
		if p == nil {
			p = v.who.may(needs, false)
		}
		if p == nil {
			p = serve(v)
		}
		if p != nil {
			v.refuse(p)
		}
	})
}

// show answers with a page.
func (v *view) show(name, title string, data any) *problem {
	v.Name, v.Title, v.Data = name, title, data
	var b bytes.Buffer
	if err := v.ui.templates[name].ExecuteTemplate(&b, "page", v); err != nil {
		panic(err) // a template of ours is at fault
	}
	v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	body := b.Bytes()
	if !v.Secret && acceptsGzip(v.r) { // a length tells nothing of what is no secret (BREACH)
		v.w.Header().Set("Content-Encoding", "gzip")
		body = zip(body)
	}
	v.w.WriteHeader(v.Status)
	_, _ = v.w.Write(body) // if not, the client is gone
	return nil
}

// redirect sends the browser on, to a path relative to the mount.
func (v *view) redirect(to string) *problem {
	v.w.Header().Set("Location", v.Root+to)
	v.w.WriteHeader(http.StatusSeeOther)
	return nil
}

// refuse answers with the page of a problem. That nothing is there is said the
// same at every address; where a key is, the way leads to it.
func (v *view) refuse(p *problem) {
	v.Status = p.Status
	if id := v.r.PathValue("id"); id != "" && (p.Status == http.StatusConflict || p.Status == http.StatusPreconditionFailed) {
		v.At = "ui/keys/" + id
	}
	maps.Copy(v.w.Header(), p.GetHeaders())
	_ = v.show("problem", p.Title, p)
}

// What templates ask of a view.

// Config is the host's.
func (v *view) Config() *Config { return &v.ui.cfg }

// Style, Script and Icon are where the files are.
func (v *view) Style() string  { return v.Root + v.ui.style }
func (v *view) Script() string { return v.Root + v.ui.script }
func (v *view) Icon() string   { return v.Root + v.ui.icon }

// Admitted reports whether it is known who is asking.
func (v *view) Admitted() bool { return v.who != nil }

// Session is the person's.
func (v *view) Session() *Session { return v.who.session }

// Operator reports whether it is the host's own staff.
func (v *view) Operator() bool { return v.who.operator() }

// Owner is the one that is looked at.
func (v *view) Owner() OwnerInfo {
	for _, o := range v.who.session.Owners {
		if o.ID == v.who.session.Owner {
			return OwnerInfo{ID: o.ID, Name: or(o.Name, o.ID)}
		}
	}
	return OwnerInfo{}
}

// MaySwitch reports whether there is another owner to look at.
func (v *view) MaySwitch() bool {
	return v.ui.cfg.SwitchOwner != nil && len(v.who.session.Owners) > 1
}

// Notice is what was just done, by the word that a redirect left.
func (v *view) Notice() string { return notices[v.r.URL.Query().Get("done")] }

// Ago, Date and Stamp write a time: as a distance from now, a day, a moment.
func (v *view) Ago(t time.Time) string   { return ago(v.who.now, t) }
func (v *view) Date(t time.Time) string  { return t.UTC().Format("2 Jan 2006") }
func (v *view) Stamp(t time.Time) string { return t.UTC().Format("2 Jan 2006, 15:04:05") + " UTC" }

// switchOwner has the host look at another of a person's owners.
func (u *ui) switchOwner(v *view) *problem {
	to := v.form.Get("to")
	if u.cfg.SwitchOwner == nil || !slices.ContainsFunc(v.who.session.Owners, func(o OwnerInfo) bool { return o.ID == to }) {
		return errNoMember
	}
	u.cfg.SwitchOwner(v.w, v.r, to)
	return nil
}

// theKey is the key that the path names.
func (v *view) theKey() (*apikey.Key, *problem) {
	k, err := v.who.keys.Get(v.r.Context(), v.r.PathValue("id"))
	return k, toProblem(err)
}

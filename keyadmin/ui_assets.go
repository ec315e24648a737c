package keyadmin

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"io/fs"
	"net/http"
	"strconv"
	"strings"
)

//go:embed ui
var uiFiles embed.FS

// asset is a file that pages load. Its name has a part of its hash in it, so
// that it may be kept by browsers for ever.
type asset struct {
	contentType   string
	plain, zipped []byte
}

func (u *ui) loadAssets() {
	u.assets = map[string]*asset{}
	add := func(name, contentType string, edit func(string) string) string {
		text, err := fs.ReadFile(uiFiles, "ui/"+name)
		if err != nil {
			panic(err) // it is embedded
		}
		if edit != nil {
			text = []byte(edit(string(text)))
		}
		sum := sha256.Sum256(text)
		base, ext, _ := strings.Cut(name, ".")
		path := "ui/" + base + "-" + hex.EncodeToString(sum[:6]) + "." + ext
		u.assets["/"+path] = &asset{contentType, text, zip(text)}
		return path
	}
	u.style = add("app.css", "text/css; charset=utf-8", accentOf(u.cfg.Accent).replacer().Replace)
	u.script = add("app.js", "text/javascript; charset=utf-8", nil)
	u.icon = add("icon.svg", "image/svg+xml", accentOf(u.cfg.Accent).replacer().Replace)
}

// serveAsset answers a request for one, of whomever: nothing in it is anybody's.
func (u *ui) serveAsset(w http.ResponseWriter, r *http.Request, path string) bool {
	a := u.assets[path]
	if a == nil || r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	body := a.plain
	if acceptsGzip(r) {
		body = a.zipped
		w.Header().Set("Content-Encoding", "gzip")
	}
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	w.Header().Set("Vary", "Accept-Encoding")
	w.Header().Set("Content-Type", a.contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // if not, the client is gone
	return true
}

func acceptsGzip(r *http.Request) bool {
	for _, line := range r.Header.Values("Accept-Encoding") {
		for one := range strings.SplitSeq(line, ",") {
			name, params, _ := strings.Cut(one, ";")
			weight, weighted := strings.CutPrefix(strings.ReplaceAll(params, " ", ""), "q=")
			if strings.EqualFold(strings.TrimSpace(name), "gzip") && !(weighted && strings.Trim(weight, "0.") == "") {
				return true
			}
		}
	}
	return false
}

func zip(text []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(text) // a buffer takes all
	_ = w.Close()
	return b.Bytes()
}

// parseTemplates has each page's file within the layout.
func (u *ui) parseTemplates() {
	shared := template.Must(template.New("").Funcs(functions).ParseFS(uiFiles, "ui/layout.html", "ui/parts.html"))
	u.templates = map[string]*template.Template{}
	for _, name := range []string{"list", "new", "token", "key", "edit", "rotate", "confirm", "history", "problem"} {
		u.templates[name] = template.Must(template.Must(shared.Clone()).ParseFS(uiFiles, "ui/"+name+".html"))
	}
}

package keyadmin

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// relative is the path of r within the mount, escaped and with a leading
// slash, and the path of the mount itself without a trailing one. The mount is
// what the pattern of a ServeMux says, unless it was stripped from the URL.
// known reports whether base is what the client asked for.
func relative(r *http.Request) (path, base string, known bool) {
	path = r.URL.EscapedPath()
	if !strings.HasPrefix(path, "/") { // http.StripPrefix of a prefix that ends in a slash
		path = "/" + path
	}
	asked := path
	if u, err := url.ParseRequestURI(r.RequestURI); err == nil {
		asked = u.EscapedPath()
	}
	stripped, whole := strings.CutSuffix(asked, path)
	if mount := mountOf(r.Pattern); begins(segments(path), mount) && !(whole && ends(segments(stripped), mount)) {
		for range mount {
			_, path, _ = strings.Cut(path[1:], "/")
			path = "/" + path
		}
	}
	base, known = strings.CutSuffix(asked, path)
	return path, base, known
}

// mountOf is the fixed part of a pattern that matches all below it, as in
// "/dashboard/" or "/t/{team}/keys/{rest...}".
func mountOf(pattern string) []string {
	i := strings.IndexByte(pattern, '/') // after method and host
	if i < 0 {
		return nil
	}
	path := pattern[i:]
	if strings.HasSuffix(path, "...}") {
		path = path[:strings.LastIndexByte(path, '{')]
	}
	if !strings.HasSuffix(path, "/") {
		return nil
	}
	return segments(path)
}

// segments are the parts of a path, without those that a slash at either end
// would make.
func segments(path string) []string {
	path = strings.Trim(path, "/")
	if path == "" {
		return nil
	}
	return strings.Split(path, "/")
}

// begins reports whether path begins with mount, which there is.
func begins(path, mount []string) bool {
	return len(mount) > 0 && len(path) >= len(mount) && slices.EqualFunc(mount, path[:len(mount)], matches)
}

// ends reports whether path ends in mount.
func ends(path, mount []string) bool {
	return len(path) >= len(mount) && slices.EqualFunc(mount, path[len(path)-len(mount):], matches)
}

func matches(pattern, segment string) bool {
	if strings.HasPrefix(pattern, "{") {
		return true
	}
	plain, err := url.PathUnescape(segment)
	fixed, fixedErr := url.PathUnescape(pattern)
	return err == nil && fixedErr == nil && plain == fixed
}

// tidy reports whether an escaped path is one that a ServeMux takes as it is.
func tidy(path string) bool {
	for part := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		if part == "." || part == ".." || part == "" && path != "/" {
			return false
		}
	}
	return true
}

// Package keyadmin lets the people who use an API manage their own keys: a
// JSON API and a web page over it in one handler, that a host mounts under any
// path. The mount itself is the page.
//
//	admin, err := keyadmin.New(manager, &keyadmin.Config{Identify: whoIsAsking})
//	mux.Handle("/dashboard/", admin)
//
// It has no login. [Config.Identify] says, on each request anew, who is asking,
// whose keys they look at and what they may do there. So whoever leaves a
// workspace has lost it with the next request.
//
// The mount is found by the pattern of [http.ServeMux]; with another router,
// put [http.StripPrefix] around the handler.
//
// # Calls
//
// GET openapi.json, relative to the mount, describes every call, its bounds and
// its answers (OpenAPI 3.1). Of keys there are:
//
//	GET    keys, keys.csv        the list, with filters and a cursor
//	POST   keys                  201 with the token, this once
//	GET    keys/{id}             with an ETag
//	PATCH  keys/{id}             honours If-Match
//	DELETE keys/{id}             a revoked or expired one
//	POST   keys/{id}/disable, enable, hold, release, revoke, rotate, end-rotation
//	GET    keys/{id}/usage, keys/{id}/history, history, catalog
//
// Everything else, the mount and what is under ui/, is the page, in HTML. It
// works without script; its forms are checked as the calls are.
//
// Errors are application/problem+json (RFC 9457) with a code for programs. JSON
// is read strictly: a name twice, an unknown field or one in another letter
// case is refused.
//
// # Promises
//
//   - Of another owner's key every call says, byte for byte and header for
//     header, what it says of a key that does not exist.
//   - What a [Session] does not allow is refused here, whatever a page shows.
//   - GET and HEAD change nothing. Everything else must come from the same
//     origin, if it comes from a browser: [http.CrossOriginProtection] and,
//     besides, no "Origin: null".
//   - A token stands in the answer that issues it, and nowhere else: in no
//     error, no header and no URL. Reloading the page that shows one, or going
//     back to it, neither shows it again nor makes another key.
//   - Every answer has a Content-Security-Policy that loads nothing from
//     elsewhere, and is not stored by caches, save for the page's style, script
//     and sign, in which nothing is anybody's.
package keyadmin

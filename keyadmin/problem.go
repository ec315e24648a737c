package keyadmin

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-apikey/apikey"
)

// problem is every error's answer (RFC 9457). Of what the client sent it
// repeats nothing but names of fields.
type problem struct {
	Status int       `json:"status" doc:"The status of the answer."`
	Title  string    `json:"title" doc:"What kind of problem it is."`
	Detail string    `json:"detail,omitempty" doc:"What happened here, and what to do."`
	Code   string    `json:"code" doc:"What kind of problem it is, for programs."`
	Errors []fieldAt `json:"errors,omitempty" nullable:"false" doc:"Every field that is at fault."`

	retry bool // later, unchanged
}

type fieldAt struct {
	Location string `json:"location" doc:"Where: body.name, body.permissions[2], query.limit."`
	Message  string `json:"message" doc:"What is wrong and what the bound is."`
}

func problemOf(status int, code, title, detail string, fields ...fieldAt) *problem {
	return &problem{Status: status, Code: code, Title: title, Detail: detail, Errors: fields}
}

// Error, GetStatus, ContentType and GetHeaders are what huma asks of an error.
func (p *problem) Error() string             { return p.Detail }
func (p *problem) GetStatus() int            { return p.Status }
func (p *problem) ContentType(string) string { return problemType }
func (p *problem) GetHeaders() http.Header {
	if p.retry {
		return http.Header{"Retry-After": {"1"}}
	}
	return nil
}

const problemType = "application/problem+json"

// write answers with p, where no call of huma does.
func (p *problem) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", problemType)
	maps.Copy(w.Header(), p.GetHeaders())
	w.WriteHeader(p.Status)
	_ = strictJSON.Marshal(w, p) // the client is gone
}

// Refusals that tell no more than what they are.
var (
	errUnidentified = problemOf(401, "unidentified", "Not signed in", "Sign in and repeat the request.")
	errNoMember     = problemOf(403, "no_member", "No access", "You have no access to this account.")
	errUnable       = problemOf(403, "forbidden", "Not allowed", "Your role does not allow this. Ask somebody who manages this account.")
	errOperator     = problemOf(403, "operators_only", "Not allowed", "Only the operators of this service may do this.")
	errCrossOrigin  = problemOf(403, "cross_origin", "Foreign origin", "Changes are taken from this site's own pages only.")
	errNoKey        = problemOf(404, "no_key", "No such key", "There is no such key in this account.")
	errNoCall       = problemOf(404, "not_found", "Not found", "There is nothing at this address.")
	errMediaType    = problemOf(415, "media_type", "Not JSON", "Send the body as application/json in UTF-8.")
)

// errorsOf says what each of the library's errors is to a client.
var errorsOf = []struct {
	err error
	*problem
}{
	{apikey.ErrNotFound, errNoKey},
	{apikey.ErrOwner, errNoMember},
	{apikey.ErrForbidden, problemOf(403, "ceiling", "Not allowed", "The key may do more than you may.")},
	{apikey.ErrRevoked, problemOf(409, "revoked", "The key is revoked", "Revoked is for ever. Create another key.")},
	{apikey.ErrLive, problemOf(409, "live", "The key is still live", "Only a revoked or expired key can be deleted. Revoke it first.")},
	{apikey.ErrRotating, problemOf(409, "rotating", "Two tokens work already", "End the rotation first, send end_oldest, or a grace of 0.")},
	{apikey.ErrFormat, problemOf(409, "format", "No such token for this key", "The prefix must be one that is issued in the key's environment.")},
	{apikey.ErrKeyQuota, problemOf(409, "quota", "No key is left", "This account has as many keys as its plan allows. Revoke one, or upgrade the plan.")},
	{apikey.ErrVersion, problemOf(412, "changed", "The key was changed meanwhile", "Read the key again and repeat what you want to change.")},
	{apikey.ErrConflict, problemOf(409, "conflict", "The key was changed meanwhile", "Repeat the request.")},
	{apikey.ErrUnsupported, problemOf(501, "unsupported", "Not kept", "The store of this service does not keep this.")},
}

// toProblem is what a client is told of an error of the library.
func toProblem(err error) *problem {
	var p *problem
	var unknown *apikey.OutcomeUnknownError
	var unavailable *apikey.UnavailableError
	var invalid *apikey.InvalidError
	var refused *apikey.PlanError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &p):
		return p
	case errors.As(err, &unknown):
		return problemOf(503, "outcome_unknown", "It is not known whether it happened",
			fmt.Sprintf("The store failed in a way that does not tell. Read key %s to see; do not repeat the request blindly.", unknown.KeyID))
	case errors.As(err, &unavailable): // whatever it wraps: that is the host's
		return errUnavailable
	case errors.As(err, &invalid):
		return invalidFields(invalid)
	case errors.As(err, &refused):
		return problemOf(403, "plan", "The plan does not allow this", refused.Refusal)
	}
	for _, known := range errorsOf {
		if errors.Is(err, known.err) {
			return known.problem
		}
	}
	return errUnavailable
}

var errUnavailable = func() *problem {
	p := problemOf(503, "unavailable", "Not available", "Something that this service needs does not answer. Nothing was changed. Try again.")
	p.retry = true
	return p
}()

// locations of the library's fields, where they are not the name in lower case.
var locations = map[string]string{
	"Limits.Per": "body.limits.per_seconds",
	"After":      "query.cursor",
	"Limit":      "query.limit",
	"Text":       "query.q",
	"States":     "query.state",
	"Grace":      "body.grace_seconds",
	"NotBefore":  "body.not_before",
	"ExpiresAt":  "body.expires_at",
}

var index = regexp.MustCompile(`\[\d+\]`)

// invalidFields names the fields as the JSON does. Fields that no request has
// are the host's mistake.
func invalidFields(err *apikey.InvalidError) *problem {
	p := problemOf(422, "invalid", titleInvalid, detailInvalid)
	for _, f := range err.Fields[:min(len(err.Fields), maxFaults)] {
		if strings.HasPrefix(f.Field, "Actor.") {
			return problemOf(500, "misconfigured", "Misconfigured", "The session that this service gave is malformed.")
		}
		p.Errors = append(p.Errors, fieldAt{locate(f.Field), asInJSON.Replace(f.Message)})
	}
	return p
}

const (
	titleInvalid  = "Fields are wrong"
	detailInvalid = "Nothing was changed. See errors for each field and its bound."
)

// asInJSON is for the few messages that name another field.
var asInJSON = strings.NewReplacer("ExpiresAt", "expires_at", "Environment", "environment", ": see Format.NoIssue", "")

// locate is the JSON location of a field of the library's.
func locate(field string) string {
	bare := index.ReplaceAllString(field, "")
	location, ok := locations[bare]
	if !ok {
		location = "body." + strings.ToLower(bare)
	}
	at := index.FindString(field)
	if at == "" || strings.HasPrefix(location, "query.") {
		return location
	}
	list, rest, nested := strings.Cut(strings.TrimPrefix(location, "body."), ".")
	location = "body." + list + at
	if nested {
		location += "." + rest
	}
	return location
}

// asProblem has every error that huma itself answers with look like all others.
func asProblem(ctx huma.Context, _ string, v any) (any, error) {
	if _, ok := v.(*problem); ok {
		return v, nil
	}
	e, ok := v.(huma.StatusError)
	if !ok {
		return v, nil
	}
	ctx.SetHeader("Content-Type", problemType)
	p := problemOf(e.GetStatus(), "invalid", titleInvalid, detailInvalid)
	switch p.Status {
	case http.StatusBadRequest:
		p.Code, p.Title, p.Detail = "malformed", "Not JSON", "Send one JSON value in UTF-8, with each name once."
	case http.StatusRequestTimeout:
		p.Code, p.Title, p.Detail = "timeout", "Too slow", "The body did not come in time."
	case http.StatusRequestEntityTooLarge:
		p.Code, p.Title, p.Detail = "too_large", "Too large", "The body must be at most 1 MiB."
	case http.StatusUnsupportedMediaType:
		return errMediaType, nil
	case http.StatusUnprocessableEntity:
	default:
		p.Code, p.Title, p.Detail = "internal", "Internal error", "The request could not be read."
	}
	if model, ok := v.(*huma.ErrorModel); ok && p.Status < 500 {
		p.Errors = faultsOf(model.Errors)
	}
	return p, nil
}

// maxFaults is how many are told of: a body has room for a million.
const maxFaults = 50

// faultsOf are faults in order: huma finds those of an object in any.
func faultsOf(details []*huma.ErrorDetail) []fieldAt {
	slices.SortFunc(details, func(a, b *huma.ErrorDetail) int {
		return cmp.Or(cmp.Compare(a.Location, b.Location), cmp.Compare(a.Message, b.Message))
	})
	var faults []fieldAt
	for _, d := range details[:min(len(details), maxFaults)] {
		faults = append(faults, faultOf(d))
	}
	return faults
}

// faultOf is a fault that huma found, without the value that it is about.
func faultOf(d *huma.ErrorDetail) fieldAt {
	location, message := d.Location, d.Message
	if at, what, ok := strings.Cut(message, ": "); ok && location == "body" && strings.HasPrefix(at, "body") {
		location, message = at, what // strictJSON says it so
	}
	location = known(location)
	switch {
	case location == "query.limit":
		message = "must be a whole number of 1 to " + strconv.Itoa(maxPage)
	case strings.HasPrefix(message, "invalid date/time"):
		message = "must be a time of RFC 3339 with its zone, such as 2026-01-02T15:04:05Z"
	}
	return fieldAt{location, message}
}

// plainName is a name that a person may have mistyped. Tokens have digits, or
// are longer.
var plainName = regexp.MustCompile(`^[A-Za-z_]{1,24}(\[\d{1,6}\])*$`)

// known cuts from a location what the client made up and might be a secret.
func known(location string) string {
	parts := strings.Split(location, ".")
	for i, part := range parts {
		if !plainName.MatchString(part) {
			return strings.Join(parts[:i], ".")
		}
	}
	return location
}

package apikey

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// problem is a problem document (RFC 9457).
type problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Code   string `json:"code"` // a Reason, "unavailable" or "misconfigured"
}

// WriteError answers a request with an error of [Manager.Check]: status,
// WWW-Authenticate (RFC 6750, 3), Retry-After, RateLimit and Cache-Control, and
// a problem document, or what HTTPConfig.ErrorHandler writes. What the error
// says of keys, stores and causes is not in it.
func (m *Manager) WriteError(w http.ResponseWriter, r *http.Request, err error) {
	p := problemOf(err)
	h := w.Header()
	h.Set(headerCache, "no-store")
	h.Del("Www-Authenticate")
	if denial, ok := errors.AsType[*Denial](err); ok {
		if auth := denial.authError(); denial.Status() == http.StatusUnauthorized || auth != "" {
			for _, c := range m.http.challenges {
				h.Add("Www-Authenticate", c+auth)
			}
		}
		denial.Decision.SetHeader(h)
	}
	if d := retryAfter(err); d > 0 {
		h.Set("Retry-After", strconv.Itoa(int(ceilSeconds(d).Seconds())))
	}
	if m.http.onError != nil {
		m.http.onError(w, r, err)
		return
	}
	body, _ := json.Marshal(p) // of strings and a number: never fails
	h.Set("Content-Type", "application/problem+json")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(p.Status)
	_, _ = w.Write(body) // to a client that may be gone
}

func problemOf(err error) problem {
	var denial *Denial
	var gone *UnavailableError
	switch {
	case errors.As(err, &denial):
		return newProblem(denial.Status(), denial.Detail(), string(denial.Reason))
	case errors.As(err, &gone), errors.Is(err, ErrClosed):
		return newProblem(http.StatusServiceUnavailable, "The request cannot be checked now; try again.", "unavailable")
	}
	return newProblem(http.StatusInternalServerError, "The service is set up wrongly for this request.", "misconfigured")
}

func newProblem(status int, detail, code string) problem {
	return problem{Title: http.StatusText(status), Status: status, Detail: detail, Code: code}
}

// authError is the error part of a challenge (RFC 6750, 3.1); "": none.
func (d *Denial) authError() string {
	switch d.Reason {
	case ReasonMissing, ReasonEmpty, ReasonUnsupportedScheme:
		return ""
	case ReasonMalformedRequest:
		return `, error="invalid_request"`
	case ReasonPermission:
		scope := ""
		if d.Permission != "" {
			scope = `, scope="` + strings.ReplaceAll(string(d.Permission), `"`, "") + `"`
		}
		return `, error="insufficient_scope"` + scope
	}
	if d.Status() == http.StatusUnauthorized {
		return `, error="invalid_token"`
	}
	return ""
}

// retryAfter is when the client may come back; 0: the answer will not change
// by waiting.
func retryAfter(err error) time.Duration {
	var denial *Denial
	var gone *UnavailableError
	switch {
	case errors.As(err, &denial):
		if denial.Status() == http.StatusTooManyRequests {
			return max(denial.Decision.RetryAfter, 1)
		}
		return 0
	case errors.As(err, &gone) && gone.RetryAfter > 0:
		return gone.RetryAfter
	case errors.As(err, &gone), errors.Is(err, ErrClosed):
		return time.Second
	}
	return 0
}

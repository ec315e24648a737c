package apikey

import (
	"fmt"
	"net/http"
	"net/netip"
	"time"
)

// Reason is why a request was refused.
type Reason string

// The reasons. Of those that depend on a key, only [ReasonInvalid] is given to
// a caller who has not proven a secret.
const (
	ReasonMissing           Reason = "missing"            // no credential at all: 401
	ReasonEmpty             Reason = "empty"              // a credential field with nothing in it: 401
	ReasonUnsupportedScheme Reason = "unsupported_scheme" // an Authorization of another scheme: 401
	ReasonMalformedRequest  Reason = "malformed_request"  // badly formed, or more than one credential: 400
	ReasonInvalid           Reason = "invalid"            // malformed or unknown token, wrong secret, or Peer is not in the key's Networks, and then KeyID is set: 401
	ReasonRevoked           Reason = "revoked"            // 401, as those below
	ReasonHeld              Reason = "held"
	ReasonDisabled          Reason = "disabled"
	ReasonExpired           Reason = "expired"
	ReasonNotYetValid       Reason = "not_yet_valid"
	ReasonRotated           Reason = "rotated"      // a newer token of the key replaced this one
	ReasonPlan              Reason = "plan"         // the owner's plan refuses keys: 403
	ReasonEnvironment       Reason = "environment"  // a key of another environment: 403
	ReasonOwner             Reason = "owner"        // the route belongs to another owner: 403
	ReasonPermission        Reason = "permission"   // 403
	ReasonRateLimited       Reason = "rate_limited" // 429
	ReasonThrottled         Reason = "throttled"    // too many bad tokens of this peer: 429. One event tells of it, until the peer rests
)

// Denial is a request refused for what it is, as opposed to a failure of what
// it needs, which is an [*UnavailableError]. Find it with [errors.As]. It is
// shared and read-only.
type Denial struct {
	Reason     Reason
	Permission Permission // ReasonPermission: one that is missing
	Plan       string     // ReasonPlan: Plan.Refusal
	Decision   Decision   // ReasonRateLimited: the limit and when to come back; ReasonThrottled: RetryAfter alone
	KeyID      string     // of a proven secret, else ""
	Owner      string     // of a proven secret, else ""
	Peer       netip.Addr // who asked, as judged by HTTPConfig.TrustedProxies; the zero Addr: not known
}

// Error names the reason, and the key where the secret was proven.
func (d *Denial) Error() string {
	s := "apikey: refused: " + string(d.Reason)
	if d.Permission != "" {
		s += " " + string(d.Permission)
	}
	if d.Reason == ReasonInvalid && d.KeyID != "" {
		s += fmt.Sprintf(": the peer %v is outside of the key's networks", d.Peer)
	}
	if d.KeyID != "" {
		s += " (key " + d.KeyID + ")"
	}
	return s
}

// Status is the HTTP status that fits the reason.
func (d *Denial) Status() int {
	switch d.Reason {
	case ReasonMalformedRequest:
		return http.StatusBadRequest
	case ReasonPlan, ReasonEnvironment, ReasonOwner, ReasonPermission:
		return http.StatusForbidden
	case ReasonRateLimited, ReasonThrottled:
		return http.StatusTooManyRequests
	}
	return http.StatusUnauthorized
}

// Detail is what the client may know, in a sentence.
func (d *Denial) Detail() string {
	switch d.Reason {
	case ReasonMissing, ReasonEmpty:
		return "The request has no API key."
	case ReasonUnsupportedScheme:
		return "The Authorization header is of a scheme that is not accepted here."
	case ReasonMalformedRequest:
		return "The request must have exactly one API key, without quotes or spaces in it."
	case ReasonRevoked:
		return "The API key has been revoked."
	case ReasonHeld:
		return "The API key is held by the operator of this service."
	case ReasonDisabled:
		return "The API key is disabled."
	case ReasonExpired:
		return "The API key has expired."
	case ReasonNotYetValid:
		return "The API key is not valid yet."
	case ReasonRotated:
		return "The API key was rotated; use its newer token."
	case ReasonPlan:
		return d.Plan
	case ReasonEnvironment:
		return "The API key is of another environment."
	case ReasonOwner:
		return "The API key belongs to another account."
	case ReasonPermission:
		return fmt.Sprintf("The API key lacks the permission %s.", d.Permission)
	case ReasonRateLimited:
		return fmt.Sprintf("The limit %q of %d per %v is used up; try again in %v.",
			d.Decision.Limit.Name, d.Decision.Limit.N, d.Decision.Limit.Per, ceilSeconds(d.Decision.RetryAfter))
	case ReasonThrottled:
		return fmt.Sprintf("Too many requests with a wrong API key came from this address; try again in %v.", ceilSeconds(d.Decision.RetryAfter))
	}
	return "The API key is not valid."
}

// UnavailableError says that a store, plan or limiter failed, panicked or
// answered nonsense, or that a digest cannot be checked here and now, so that
// nobody can say whether the request is good. It is refused: 503.
type UnavailableError struct {
	Op         string // "store", "plan", "limiter", "pepper", "digest" (a stored one that is malformed or not allowed), "scheme" (its Split) or "hash" (too many slow ones at once)
	Err        error
	RetryAfter time.Duration // what to tell the client; 0: 1 s
}

func (e *UnavailableError) Error() string {
	return fmt.Sprintf("apikey: %s unavailable: %v", e.Op, e.Err)
}

func (e *UnavailableError) Unwrap() error { return e.Err }

func unavailable(op string, err error) error { return &UnavailableError{Op: op, Err: err} }

// ceilSeconds rounds up to whole seconds, at least one.
func ceilSeconds(d time.Duration) time.Duration {
	return max(1, (d+time.Second-1)/time.Second) * time.Second
}

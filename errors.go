package apikey

import (
	"errors"
	"fmt"
	"strings"
)

// What a Store answers. Callers compare with [errors.Is], so a Store may wrap
// them with what its database said.
var (
	// ErrNotFound: there is no such key, or it belongs to another owner. The
	// two are never told apart.
	ErrNotFound = errors.New("apikey: no such key")
	// ErrExists: the ID or alias is taken, or was taken by a key since deleted.
	ErrExists = errors.New("apikey: a key with this ID or alias exists or existed")
	// ErrConflict: the record changed since it was read. Read it again.
	ErrConflict = errors.New("apikey: the key changed meanwhile; read it again and repeat the call")
	// ErrKeyQuota: the owner has as many live keys as the plan allows.
	ErrKeyQuota = errors.New("apikey: the owner has as many live keys as the plan allows; revoke one or raise the plan")
	// ErrNotApplied: the call failed and the Store is sure that it changed
	// nothing. A Store wraps it around the cause. Any other error of a write
	// leaves its outcome unknown.
	ErrNotApplied = errors.New("apikey: nothing was written")
	// ErrNewerRecord: the stored record demands a newer version of this
	// package. Nothing that it guards is admitted by this one.
	ErrNewerRecord = errors.New("apikey: the record was written by a newer version that this one may not read; update this node")
	// ErrBadRecord: the bytes are no record.
	ErrBadRecord = errors.New("apikey: malformed record")
	// ErrUnsupported: the Store lacks this optional ability.
	ErrUnsupported = errors.New("apikey: the store does not support this")
)

// What managing keys answers besides.
var (
	// ErrInvalid is what every [*InvalidError] is.
	ErrInvalid = errors.New("apikey: invalid input")
	// ErrOwner: the owner is empty, over 255 bytes, not UTF-8, or holds a control character.
	ErrOwner = errors.New("apikey: owner must be 1 to 255 bytes of UTF-8 without control characters")
	// ErrForbidden: the actor may not do this; see [Actor].
	ErrForbidden = errors.New("apikey: the actor may not do this")
	// ErrPlan is what every [*PlanError] is.
	ErrPlan = errors.New("apikey: the owner's plan refuses keys")
	// ErrRevoked: the key is revoked, which is for ever.
	ErrRevoked = errors.New("apikey: the key is revoked; revoked is for ever")
	// ErrRotating: two secrets are live already. Wait for the earlier one to
	// end, call EndRotation, or set RotateParams.EndOldest.
	ErrRotating = errors.New("apikey: two secrets of the key are live; end the rotation first or set EndOldest")
	// ErrFormat: rotation into a format of another environment, another ID
	// length, or one that is no longer issued.
	ErrFormat = errors.New("apikey: the key cannot have a token of this format")
	// ErrLive: only a revoked or expired key can be deleted.
	ErrLive = errors.New("apikey: the key is not revoked or expired; revoke it first")
	// ErrVersion: the key no longer has the version that IfVersion names.
	ErrVersion = errors.New("apikey: the key is not at the version asked for; read it again")
)

// What using a [Manager] answers besides.
var (
	// ErrClosed: the Manager was closed.
	ErrClosed = errors.New("apikey: the manager is closed")
	// ErrCost: a request costs more than a limit's burst, so it could never
	// pass. It is a mistake of the host's configuration, answered 500.
	ErrCost = errors.New("apikey: the cost of the request is above the burst of a limit, so it can never pass; raise the burst or lower the cost")
)

// FieldError is one field that is outside its bounds.
type FieldError struct {
	Field   string // as in the Go struct: "Name", "Permissions[2]", "Formats[0].Prefix"
	Message string // what is wrong and what the bound is; never the value of a secret
}

func (e FieldError) Error() string { return e.Field + ": " + e.Message }

// InvalidError lists every field of an input that is outside its bounds.
// Nothing was stored. It is [ErrInvalid] to [errors.Is].
type InvalidError struct {
	Fields []FieldError
}

func (e *InvalidError) Error() string {
	msgs := make([]string, len(e.Fields))
	for i, f := range e.Fields {
		msgs[i] = f.Error()
	}
	return "apikey: invalid input: " + strings.Join(msgs, "; ")
}

// Is reports whether target is [ErrInvalid].
func (e *InvalidError) Is(target error) bool { return target == ErrInvalid }

// PlanError says that the owner's plan refuses keys. It is [ErrPlan] to
// [errors.Is].
type PlanError struct {
	Refusal string // Plan.Refusal: a sentence for the owner
}

func (e *PlanError) Error() string { return ErrPlan.Error() + ": " + e.Refusal }

// Is reports whether target is [ErrPlan].
func (e *PlanError) Is(target error) bool { return target == ErrPlan }

// OutcomeUnknownError says that a write may or may not have happened: the
// store failed in a way that does not tell. Get KeyID to see which; a key that
// was created with a token that nobody has seen can be revoked by this ID.
type OutcomeUnknownError struct {
	KeyID string
	Err   error
}

func (e *OutcomeUnknownError) Error() string {
	return fmt.Sprintf("apikey: it is not known whether the change of key %s was stored; read the key to see: %v", e.KeyID, e.Err)
}

func (e *OutcomeUnknownError) Unwrap() error { return e.Err }

// faults gathers field errors while an input is checked.
type faults []FieldError

func (f *faults) add(field, format string, args ...any) {
	*f = append(*f, FieldError{Field: field, Message: fmt.Sprintf(format, args...)})
}

func (f faults) err() error {
	if len(f) == 0 {
		return nil
	}
	return &InvalidError{Fields: f}
}

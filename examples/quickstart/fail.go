package main

import (
	"errors"
	"net/http"

	"github.com/go-apikey/apikey"
)

// fail answers with an error of managing keys. What a caller can do about one
// is said; what went wrong inside is not.
func fail(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	var unavailable *apikey.UnavailableError
	switch {
	case errors.Is(err, apikey.ErrInvalid):
		status = http.StatusUnprocessableEntity
	case errors.Is(err, apikey.ErrNotFound):
		status = http.StatusNotFound
	case errors.Is(err, apikey.ErrForbidden), errors.Is(err, apikey.ErrPlan):
		status = http.StatusForbidden
	case errors.Is(err, apikey.ErrKeyQuota), errors.Is(err, apikey.ErrRevoked), errors.Is(err, apikey.ErrRotating):
		status = http.StatusConflict
	case errors.As(err, &unavailable):
		answer(w, http.StatusServiceUnavailable, "try again later")
		return
	default: // among them *OutcomeUnknownError
		answer(w, status, "something went wrong")
		return
	}
	answer(w, status, err.Error())
}

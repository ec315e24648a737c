package apikey_test

import (
	"errors"
	"testing"

	"github.com/go-apikey/apikey"
)

// wantFields fails unless err is an *InvalidError of exactly these fields, each with a message.
func wantFields(t *testing.T, what string, err error, fields ...string) {
	t.Helper()
	var invalid *apikey.InvalidError
	if !errors.As(err, &invalid) || !errors.Is(err, apikey.ErrInvalid) {
		t.Errorf("%s: error %s, want an *InvalidError of %q", what, errText(err), fields)
		return
	}
	var got []string
	for _, f := range invalid.Fields {
		got = append(got, f.Field)
		if f.Message == "" {
			t.Errorf("%s: nothing is said of %s", what, f.Field)
		}
	}
	if d := rigDiff(fields, got); d != "" {
		t.Errorf("%s: fields (-want +got):\n%s\n%v", what, d, err)
	}
}

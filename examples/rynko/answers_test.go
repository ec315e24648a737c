package main

import (
	"database/sql"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/go-apikey/apikey/examples/demo/demotest"
)

// TestErrors is the table of systems.md, row by row, with every condition that it names.
func TestErrors(t *testing.T) {
	d := service.Start(t)
	ana, support := d.As("ana", "acme"), d.As("support", "acme")
	good := ana.Create(t, "Good", may("analytics:view"))
	weak := ana.Create(t, "Weak", may("documents:generate"))
	state := func(name string, into func(k demotest.Key)) string {
		key := ana.Create(t, name, may("analytics:view"))
		into(key)
		return "Bearer " + key.Token
	}
	soon := time.Now().Add(time.Second)
	expiring := ana.Create(t, "Expiring", demotest.Fields{"permissions": []string{"analytics:view"}, "expires_at": soon.UTC().Format(time.RFC3339Nano)})
	early := ana.Create(t, "Early", demotest.Fields{"permissions": []string{"analytics:view"}, "not_before": soon.Add(time.Hour).UTC().Format(time.RFC3339Nano)})
	last := good.Token[len(good.Token)-1:]
	mistyped := good.Token[:len(good.Token)-1] + map[bool]string{true: "0", false: "1"}[last != "0"]

	type answer struct {
		Status        int
		Code, Message string
	}
	noCredential := answer{401, "ERR_AUTH_001", "You are not authorized to access this resource"}
	notOurs := answer{401, "ERR_AUTH_004", "Invalid authentication token"}
	invalid := answer{401, "ERR_AKEY_002", "Invalid API key"}
	deactivated := answer{401, "ERR_AKEY_003", "API key has been deactivated"}
	missing := answer{403, "ERR_AUTH_005", "You do not have permission to perform this action"}
	for _, test := range []struct {
		when   string
		header []string
		want   answer
	}{
		{"no credential", nil, noCredential},
		{"no credential, an empty header", []string{""}, noCredential},
		{"not a credential of ours: another scheme", []string{"Basic YTpi"}, notOurs},
		{"not a credential of ours: another scheme with a good token", []string{"Token " + good.Token}, notOurs},
		{"not a credential of ours: a token without a scheme", []string{good.Token}, notOurs},
		{"not a credential of ours: Bearer with nothing after it", []string{"Bearer"}, notOurs},
		{"not a credential of ours: Bearer with blanks after it", []string{"Bearer   "}, notOurs},
		{"not a credential of ours: several headers", []string{"Bearer " + good.Token, "Bearer " + good.Token}, notOurs},
		{"not a credential of ours: several headers, one of another scheme", []string{"Basic YTpi", "Bearer " + good.Token}, notOurs},
		{"not a credential of ours: several in one header", []string{"Bearer " + good.Token + ", Bearer " + good.Token}, notOurs},
		{"not a credential of ours: several words", []string{"Bearer " + good.Token + " " + good.Token}, notOurs},
		{"malformed key", []string{"Bearer rd_sk_short"}, invalid},
		{"malformed key: of no shape", []string{"Bearer nonsense"}, invalid},
		{"malformed key: in letters that none has", []string{"Bearer rd_sk_!§$%&"}, invalid},
		{"malformed key: mistyped", []string{"Bearer " + mistyped}, invalid},
		{"malformed key: a JWT", []string{"Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0."}, invalid},
		{"unknown key: of the older system", []string{"Bearer fm_" + strings.Repeat("0123456789abcdef", 2)}, invalid},
		{"revoked", []string{state("Revoked", func(k demotest.Key) { ana.Revoke(t, k) })}, invalid},
		{"revoked while it was deactivated", []string{state("Both", func(k demotest.Key) {
			ana.Post(t, k.Path("disable"), nil).Want(200)
			ana.Revoke(t, k)
		})}, invalid},
		{"rotated", []string{state("Rotated", func(k demotest.Key) { ana.Rotate(t, k, 0) })}, invalid},
		{"expired", []string{"Bearer " + expiring.Token}, invalid},
		{"a key not yet valid is ERR_AKEY_002", []string{"Bearer " + early.Token}, invalid},
		{"deactivated key, secret proven", []string{state("Off", func(k demotest.Key) { ana.Post(t, k.Path("disable"), nil).Want(200) })}, deactivated},
		{"held by support, secret proven", []string{state("Held", func(k demotest.Key) { support.Post(t, k.Path("hold"), nil).Want(200) })}, deactivated},
		{"permission missing", []string{"Bearer " + weak.Token}, missing},
	} {
		t.Run(test.when, func(t *testing.T) {
			if test.when == "expired" {
				demotest.Eventually(t, 3*time.Second, "it expires", func() bool { return !time.Now().Before(soon) })
			}
			a := d.Do(t, http.MethodGet, analyticsPath, nil, func(r *http.Request) {
				if test.header != nil {
					r.Header["Authorization"] = test.header
				}
			})
			if diff := cmp.Diff(test.want, answer{a.Status, a.String("code"), a.String("message")}); diff != "" {
				t.Errorf("the answer differs (-want +got):\n%s", diff)
			}
			if a.Header.Get("Content-Type") != "application/json" || a.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("the headers are %v", a.Header)
			}
			if (a.Status == 401) != strings.HasPrefix(a.Header.Get("Www-Authenticate"), `Bearer realm="rynko"`) && a.Status == 401 {
				t.Errorf("the challenge is %q", a.Header.Get("Www-Authenticate"))
			}
		})
	}
	t.Run("deactivated key, secret not proven", func(t *testing.T) { // a right checksum cannot be made without the library: a wrong one tells no more
		key := ana.Create(t, "Off too", nil)
		ana.Post(t, key.Path("disable"), nil).Want(200)
		wrong := key.Token[:20] + strings.Repeat("0", len(key.Token)-20)
		d.Call(t, wrong, http.MethodGet, analyticsPath, nil).WantCode(401, "ERR_AKEY_002")
	})
	t.Run("its 429 has a code of its own", func(t *testing.T) {
		limited := support.Create(t, "Limited", demotest.Fields{
			"permissions": []string{"analytics:view"}, "limits": []demotest.Fields{{"name": "hour", "n": 1, "per_seconds": 3600}},
		})
		d.Call(t, limited.Token, http.MethodGet, analyticsPath, nil).Want(200)
		a := d.Call(t, limited.Token, http.MethodGet, analyticsPath, nil).WantCode(429, "ERR_RATE_001")
		if a.Header.Get("Retry-After") == "" || a.String("message") == "" {
			t.Errorf("it says %s and Retry-After: %q", a.Body, a.Header.Get("Retry-After"))
		}
	})
}

// TestUnavailable takes the tables away under the running program.
func TestUnavailable(t *testing.T) {
	t.Run("its 503 has a code of its own", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "keys.db")
		d := service.Start(t, "-db", file)
		key := d.As("ana", "acme").Create(t, "Good", may("analytics:view"))
		d.Call(t, key.Token, http.MethodGet, analyticsPath, nil).Want(200)
		db, err := sql.Open("sqlite", file)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := db.ExecContext(t.Context(), "ALTER TABLE apikey_keys RENAME TO elsewhere"); err != nil {
			t.Fatal(err)
		}
		a := d.Call(t, key.Token, http.MethodGet, analyticsPath, nil).WantCode(503, "ERR_SYS_001")
		if a.Header.Get("Retry-After") == "" || a.String("message") == "" || strings.Contains(a.Body, "apikey_") {
			t.Errorf("it says %s and Retry-After: %q", a.Body, a.Header.Get("Retry-After"))
		}
		if _, err := db.ExecContext(t.Context(), "ALTER TABLE elsewhere RENAME TO apikey_keys"); err != nil {
			t.Fatal(err)
		}
		d.Call(t, key.Token, http.MethodGet, analyticsPath, nil).Want(200)
	})
}

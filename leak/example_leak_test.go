package leak_test

import (
	"context"
	"fmt"
	"log"
	"net/http"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/leak"
	"github.com/go-apikey/apikey/memstore"
)

// The endpoint, as a service mounts it. Every key one of whose tokens GitHub
// finds is revoked, and its owner told.
func ExampleGitHubKeys() {
	keys, err := apikey.New(memstore.New(), nil)
	if err != nil {
		panic(err)
	}
	defer keys.Close(context.Background())
	mux := http.NewServeMux()

	mux.Handle("/github/leaks", leak.New(keys, leak.GitHubKeys(nil), &leak.Config{
		OnReport: func(_ context.Context, e leak.Event) {
			switch key := e.Report.Key; {
			case e.Err != nil:
				log.Print("leak report: ", e.Err)
			case key != nil:
				log.Printf("%s of %s leaked at %v: %s", key.Masked(), key.Owner, e.Report.Places, e.Action)
			}
		},
	}))
}

// A token that was rotated out is reported, then the one that took its place.
func ExampleNew() {
	ctx := context.Background()
	keys, err := apikey.New(memstore.New(), nil)
	if err != nil {
		panic(err)
	}
	defer keys.Close(ctx)
	ring := keys.Keyring("acct_42", apikey.Operator("example"))
	first, err := ring.Create(ctx, apikey.KeyParams{Name: "Production"})
	if err != nil {
		panic(err)
	}
	second, err := ring.Rotate(ctx, first.Key.ID, apikey.RotateParams{})
	if err != nil {
		panic(err)
	}

	github := newGitHub() // a server that publishes keys and signs as GitHub does
	defer github.Close()
	handler := leak.New(keys, leak.GitHubKeys(&leak.KeysConfig{URL: github.URL}), &leak.Config{
		OnReport: func(_ context.Context, e leak.Event) {
			fmt.Printf("%q: its token is %s; done: %q\n", e.Report.Key.Name, e.Report.State, e.Action)
		},
	})
	for _, issued := range []*apikey.Issued{first, second} {
		fmt.Println(github.report(handler, issued.Token.Reveal()).Code)
	}
	// Output:
	// "Production": its token is rotated; done: ""
	// 200
	// "Production": its token is live; done: "revoke"
	// 200
}

// What is done is up to the host: here a test key is revoked, while of a key
// that production may hang on only the leaked token ends.
func ExampleConfig() {
	ctx := context.Background()
	keys, err := apikey.New(memstore.New(), &apikey.Config{
		Formats: []apikey.Format{{Prefix: "rg_live_", Environment: "live"}, {Prefix: "rg_test_", Environment: "test"}},
	})
	if err != nil {
		panic(err)
	}
	defer keys.Close(ctx)
	ring := keys.Keyring("acct_42", apikey.Operator("example"))
	cfg := &leak.Config{
		Policy: func(_ context.Context, r leak.Report) (leak.Action, error) {
			if r.Key.Environment == "live" {
				return leak.EndSecret, nil
			}
			return leak.Revoke, nil
		},
	}
	github := newGitHub()
	defer github.Close()
	handler := leak.New(keys, leak.GitHubKeys(&leak.KeysConfig{URL: github.URL}), cfg)

	for _, environment := range []string{"live", "test"} {
		issued, err := ring.Create(ctx, apikey.KeyParams{Name: "CI", Environment: environment})
		if err != nil {
			panic(err)
		}
		github.report(handler, issued.Token.Reveal())
		key, state, err := keys.Lookup(ctx, issued.Token.Reveal())
		if err != nil {
			panic(err)
		}
		fmt.Printf("%s: revoked: %v, token: %s\n", environment, !key.RevokedAt.IsZero(), state)
	}
	// Output:
	// live: revoked: false, token: rotated
	// test: revoked: true, token: live
}

var exampleFormats = []apikey.Format{
	{Prefix: "rg_live_", Environment: "live"},
	{Prefix: "rg_test_", Environment: "test"},
}

// What GitHub is sent when the prefix is registered: a name and a pattern for
// each format.
func Example_patterns() {
	for _, f := range exampleFormats { // or those of Manager.Formats
		fmt.Printf("%sapi_key  %s\n", f.Prefix, f.Regexp())
	}
	// Output:
	// rg_live_api_key  rg_live_[0-9A-Za-z]{45}
	// rg_test_api_key  rg_test_[0-9A-Za-z]{45}
}

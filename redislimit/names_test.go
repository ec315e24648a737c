package redislimit_test

import (
	"context"
	"strings"
	"testing"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/redislimit"
)

func TestKeyName(t *testing.T) {
	tests := []struct {
		bucket apikey.Bucket
		want   string
	}{
		{apikey.Bucket{Scope: apikey.ScopeKey, ID: "7Qx2mB4kZ0aA", Owner: "acct_42", Limit: apikey.PerMinute(1)}, "apikey:{acct_42}k:minute:7Qx2mB4kZ0aA"},
		{apikey.Bucket{Scope: apikey.ScopeOwner, ID: "acct_42", Owner: "acct_42", Limit: apikey.PerMinute(1)}, "apikey:{acct_42}o:minute"},
		{apikey.Bucket{Scope: apikey.ScopeOwner, ID: "", Owner: "acct_42", Limit: apikey.PerMinute(1)}, "apikey:{acct_42}o:minute:"},
		{apikey.Bucket{Scope: apikey.ScopeKey, ID: "{a}", Owner: "", Limit: apikey.PerMinute(1)}, "apikey:{%}k:minute:{a}"},
		{apikey.Bucket{Scope: apikey.ScopeKey, ID: "a", Owner: "%", Limit: apikey.PerMinute(1)}, "apikey:{%25}k:minute:a"},
		{apikey.Bucket{Scope: apikey.ScopeKey, ID: "b", Owner: "}x{", Limit: apikey.Limit{Name: "a:b"}}, "apikey:{%7Dx%7B}k:a%3Ab:b"},
	}
	for _, tt := range tests {
		if got := redislimit.KeyName("apikey:", tt.bucket); got != tt.want {
			t.Errorf("KeyName(%+v) is %q, want %q", tt.bucket, got, tt.want)
		}
	}
}

// Whatever bytes an owner has, all its buckets are in the slot that we think.
func TestSlot(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--cluster-enabled", "yes")
	client := s.client()
	for _, owner := range []string{"", "a", "acct_42", "{", "}", "{}", "}{", "{a}b", "%", "%7B", "\x00\xff", ":", "ä", strings.Repeat("x", 255)} {
		for _, b := range []apikey.Bucket{
			{Scope: apikey.ScopeOwner, ID: owner, Owner: owner, Limit: apikey.PerHour(1)},
			{Scope: apikey.ScopeKey, ID: "{k}", Owner: owner, Limit: apikey.PerMinute(1)},
		} {
			want, err := client.ClusterKeySlot(context.Background(), redislimit.KeyName("apikey:", b)).Result()
			if err != nil {
				t.Fatal(err)
			}
			if got := redislimit.Slot(owner); int64(got) != want {
				t.Errorf("owner %q: Slot is %d, and Redis places %q in %d", owner, got, redislimit.KeyName("apikey:", b), want)
			}
		}
	}
}

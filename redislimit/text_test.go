package redislimit_test

import (
	"context"
	"net"
	"slices"
	"strings"
	"sync/atomic"
)

func containsLine(text, line string) bool {
	return slices.Contains(strings.Split(strings.ReplaceAll(text, "\r", ""), "\n"), line)
}

// value is what INFO says of a field.
func value(info, field string) string {
	_, after, _ := strings.Cut(info, field+":")
	before, _, _ := strings.Cut(after, "\r")
	return before
}

func words(s string) []any {
	var out []any
	for w := range strings.FieldsSeq(s) {
		out = append(out, w)
	}
	return out
}

// dialer connects to wherever addr says then.
func dialer(addr *atomic.Value) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, addr.Load().(string))
	}
}

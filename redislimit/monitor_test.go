package redislimit_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/go-apikey/apikey"
	"github.com/go-apikey/apikey/internal/secretwatch"
	"github.com/go-apikey/apikey/memstore"
	"github.com/go-apikey/apikey/redislimit"
)

// monitor returns what the server's MONITOR shows, when called.
func monitor(t *testing.T, s *server) func() string {
	t.Helper()
	conn, err := net.Dial("tcp", s.addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := conn.Write([]byte("MONITOR\r\n")); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	if ok, err := in.ReadString('\n'); err != nil || !strings.HasPrefix(ok, "+OK") {
		t.Fatalf("MONITOR: %q, %v", ok, err)
	}
	return func() string {
		s.do("echo", "the end of it")
		var text strings.Builder
		if err := conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			text.WriteString(line)
			if strings.Contains(line, "the end of it") {
				return text.String()
			}
		}
	}
}

// Of requests with real tokens, Redis gets to see owners, key IDs and numbers.
func TestNothingSecretInRedis(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	shown := monitor(t, s)
	var tokens []string
	for _, lease := range []int{0, 5} {
		limiter := newLimiter(t, s.client(), &redislimit.Config{Lease: lease, Timeout: 10 * time.Second})
		tokens = append(tokens, requests(t, limiter)...)
		if err := limiter.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	text := shown()
	secretwatch.Text("MONITOR", text)
	if !strings.Contains(text, "}k:minute:") || !strings.Contains(text, "}o:hour") {
		t.Fatalf("MONITOR shows no buckets: this tested nothing\n%.2000s", text)
	}
	for i, token := range tokens {
		sum := sha256.Sum256([]byte(token))
		secret := token[len(token)-33 : len(token)-6]
		for what, find := range map[string]string{
			"token": token, "secret": secret, "part of the secret": secret[:10], "checksum": token[len(token)-6:],
			"hex digest": hex.EncodeToString(sum[:]), "base64 digest": base64.StdEncoding.EncodeToString(sum[:])[:40],
			"digest": strings.Trim(fmt.Sprintf("%q", sum[:8]), `"`), "escaped digest": escaped(sum[:8]),
		} {
			if strings.Contains(text, find) {
				t.Errorf("MONITOR shows the %s of token %d", what, i)
			}
		}
	}
}

// escaped is data as MONITOR shows it.
func escaped(data []byte) string {
	var out strings.Builder
	for _, c := range data {
		if c >= 0x20 && c < 0x7f && c != '"' && c != '\\' {
			out.WriteByte(c)
		} else {
			fmt.Fprintf(&out, `\x%02x`, c)
		}
	}
	return out.String()
}

// requests verifies some keys' tokens over limiter, some until they are refused.
func requests(t *testing.T, limiter apikey.Limiter) (tokens []string) {
	t.Helper()
	keys, err := apikey.New(memstore.New(), &apikey.Config{
		Limiter: limiter,
		Plan: func(context.Context, string) (apikey.Plan, error) {
			return apikey.Plan{Name: "p", MaxKeys: 10, KeyLimits: []apikey.Limit{apikey.PerMinute(20)}, OwnerLimits: []apikey.Limit{apikey.PerHour(1000)}}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = keys.Close(context.Background()) })
	for _, owner := range []string{"acct_1", "acct_{2}"} {
		issued, err := keys.Keyring(owner, apikey.Operator("test")).Create(t.Context(), apikey.KeyParams{Name: "k"})
		if err != nil {
			t.Fatal(err)
		}
		token := issued.Token.Reveal()
		tokens = append(tokens, token)
		passed := 0
		for range 30 {
			if _, d, err := keys.Verify(t.Context(), apikey.Request{Token: token}); err == nil && d.Allowed {
				passed++
			}
		}
		if passed < 20 || passed > 25 {
			t.Errorf("%d of 30 passed at 20 a minute", passed)
		}
	}
	return tokens
}

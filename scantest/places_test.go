package scantest

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"
)

// A place is where tokens are found: a file, its text around one token, and
// the line on which the token stands.
type place struct {
	file string
	text func(token string) string
	line int
	code bool // the token is encoded, and found by who decodes
}

var places = []place{
	{"main.go", wrap("package main\n\nvar client = example.New(\"", "\")\n"), 3, false},
	{"client.py", wrap("client = Client(api_key='", "')  # TODO\n"), 1, false},
	{".env", wrap("PORT=8080\nEXAMPLE_KEY=", "\nDEBUG=1\n"), 2, false},
	{"config.json", wrap(`{"name":"web","auth":{"type":"bearer","key":"`, `"},"retries":3}`), 1, false},
	{"values.yaml", wrap("example:\n  apiKey: ", "\n"), 2, false},
	{"Dockerfile", wrap("FROM scratch\nENV KEY=", " PORT=80\n"), 2, false},
	{"link.html", wrap(`<a href="https://api.example.com/v1/calls?key=`, `&amp;page=2">`), 1, false},
	{"userinfo.txt", wrap("https://", ":@api.example.com/v1/calls"), 1, false},
	{"encoded.txt", wrap("https://example.com/?q=%7B%22key%22:%22", "%22%7D"), 1, false},
	{".zsh_history", wrap(": 1767366245:0;curl -H 'Authorization: Bearer ", "' https://api.example.com/v1/calls\n"), 1, false},
	{"key.patch", wrap("diff --git a/.env b/.env\n--- a/.env\n+++ b/.env\n@@ -1 +1 @@\n-EXAMPLE_KEY=\n+EXAMPLE_KEY=", "\n"), 6, false},
	{"windows.ini", wrap("[example]\r\nkey=", "\r\n"), 2, false},
	{"access.log", wrap(`192.0.2.7 - - [02/Jan/2026:15:04:05 +0000] "GET /v1/calls?api_key=`, ` HTTP/1.1" 200 17`), 1, false},
	{"alone.txt", wrap("", ""), 1, false},
	{"glued.txt", wrap("x9", "9x\n"), 1, false},
	{"snake.txt", wrap("my_", "_key\n"), 1, false},
	{"umlaut.txt", wrap("Schlüssel", "für Ömer\n"), 1, false},
	{"begun.txt", wrap("rd_sk_abcrg_live_7Qx2mB4krk_live_", "\n"), 1, false}, // parts of tokens right before it
	{"masked.txt", wrap("rd_sk_7Qx2mB4k…", "…\n"), 1, false},
	{"minified.js", wrap(strings.Repeat("a(b,c);", 500)+`k="`, `";`+strings.Repeat("d(e);", 500)), 1, false},
	{"long.log", wrap(strings.Repeat("GET /v1/calls 200\n", 5550), "\n"+strings.Repeat("GET /v1/calls 200\n", 5550)), 5551, false}, // across the 100,000 bytes that gitleaks reads at once
	{"secret.yaml", func(token string) string {
		return "kind: Secret\ndata:\n  key: " + base64.StdEncoding.EncodeToString([]byte(token)) + "\n"
	}, 3, true},
	{"basic.txt", func(token string) string {
		return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("user:"+token)) + "\n"
	}, 1, true},
	{"hex.txt", func(token string) string { return fmt.Sprintf("key = %x\n", token) }, 1, true},
	{"escaped.txt", func(token string) string { return "next=" + url.QueryEscape("https://example.com/?key="+token) + "\n" }, 1, false},
}

func wrap(before, after string) func(string) string {
	return func(token string) string { return before + token + after }
}

// harmless is what must not be found, however much it looks like a token.
// Other services' keys are put together, so that no scanner finds them here.
var harmless = map[string]string{
	"masked":            "rg_live_7Qx2mB4k… rd_sk_7Qx2mB4k...",
	"prefix alone":      "rd_sk_ rg_live_ rg_test_ rk_live_",
	"cut by one":        "rd_sk_" + strings.Repeat("aB3", 14) + "xY",
	"dash inside":       "rg_live_" + strings.Repeat("a", 22) + "-" + strings.Repeat("b", 22),
	"line break inside": "rg_test_" + strings.Repeat("a", 22) + "\n" + strings.Repeat("b", 23),
	"upper-case prefix": "RD_SK_" + strings.Repeat("aB3", 15),
	"another prefix":    "rg_prod_" + strings.Repeat("aB3", 15),
	"placeholder":       "rd_sk_YOUR_API_KEY_HERE rg_live_<your key> rd_sk_${KEY}",
	"Stripe":            "sk_" + "live_" + strings.Repeat("aB3", 8) + " rk_" + "live_" + strings.Repeat("aB3", 8),
	"GitHub":            "ghp_" + strings.Repeat("aB3", 12),
	"AWS":               "AKIA" + strings.Repeat("Q", 16),
	"Slack":             "xoxb-" + strings.Repeat("1", 12) + "-" + strings.Repeat("aB3", 8),
	"JWT":               "eyJ" + "hbGciOiJIUzI1NiJ9.eyJ" + "zdWIiOiI0MiJ9." + strings.Repeat("aB3", 14) + "x",
	"UUID":              "3f0c1c62-3a0e-4d0b-9a53-0c7f5f0f4f10",
	"SHA-256":           strings.Repeat("0123456789abcdef", 4),
}

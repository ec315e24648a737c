package leak_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"sync/atomic"

	"github.com/go-apikey/apikey/internal/secretwatch"
	"github.com/go-apikey/apikey/leak"
)

// github is GitHub as far as the programme goes: it publishes a public key and
// signs reports with it.
type github struct {
	*httptest.Server

	keyID   string
	private *ecdsa.PrivateKey
	fetches atomic.Int64
	list    atomic.Pointer[http.HandlerFunc] // answers instead, if set
}

// newSigner is one that is asked for its key by a call, not over the network.
func newSigner() *github {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return &github{keyID: "9f86d081884c7d659a2feaa0c55ad015", private: private}
}

// key is a [leak.KeyFunc].
func (g *github) key(_ context.Context, keyID string) (*ecdsa.PublicKey, error) {
	if keyID != g.keyID {
		return nil, leak.ErrUnknownKey
	}
	return &g.private.PublicKey, nil
}

func newGitHub() *github {
	g := newSigner()
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.fetches.Add(1)
		if f := g.list.Load(); f != nil {
			(*f)(w, r)
			return
		}
		_, _ = w.Write(keyList(g.keyID, &g.private.PublicKey))
	}))
	return g
}

// keyList is what GitHub publishes.
func keyList(keyID string, key any) []byte {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		panic(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	list, err := json.Marshal(map[string]any{"public_keys": []map[string]any{
		{"key_identifier": keyID, "key": string(text), "is_current": true},
	}})
	if err != nil {
		panic(err)
	}
	return list
}

func (g *github) sign(body []byte) string {
	sum := sha256.Sum256(body)
	signature, err := ecdsa.SignASN1(rand.Reader, g.private, sum[:])
	if err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(signature)
}

// request is a signed report with this body.
func (g *github) request(body []byte) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
	r.Header.Set("Github-Public-Key-Identifier", g.keyID)
	r.Header.Set("Github-Public-Key-Signature", g.sign(body))
	return r
}

// answer is what h answers to a signed body.
func (g *github) answer(h http.Handler, body []byte) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, g.request(body))
	handOver(w, body)
	return w
}

// handOver gives an answer to who looks for secrets in it. The hash of a token
// that was reported, which may be the stored digest, is to be there once.
func handOver(w *httptest.ResponseRecorder, body []byte) {
	var reported []leaked
	_ = json.Unmarshal(body, &reported) // what is no report has no tokens
	for _, l := range reported {
		sum := sha256.Sum256([]byte(l.Token))
		secretwatch.Reveal("GitHub: HTTP body", hex.EncodeToString(sum[:]))
	}
	secretwatch.Response("GitHub", w.Code, w.Header(), w.Body.Bytes())
}

// report sends tokens, all found in one commit, and gives the answer.
func (g *github) report(h http.Handler, tokens ...string) *httptest.ResponseRecorder {
	return g.answer(h, reportOf(tokens...))
}

type leaked struct {
	Token  string `json:"token"`
	Type   string `json:"type"`
	URL    string `json:"url"`
	Source string `json:"source"`
}

func reportOf(tokens ...string) []byte {
	list := []leaked{}
	for _, token := range tokens {
		list = append(list, leaked{token, "example_api_key", "https://github.com/acme/site/blob/main/.env", "commit"})
	}
	body, err := json.Marshal(list)
	if err != nil {
		panic(err)
	}
	return body
}

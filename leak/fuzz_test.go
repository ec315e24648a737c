package leak_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/go-apikey/apikey/apikeytest"
	"github.com/go-apikey/apikey/leak"
)

// FuzzBody sends signed bodies in which TOKEN stands for a live token. Whatever
// else is in them, the answer is one of a few, holds no token, and has a label
// for each token and type if and only if the body is a list; and a token that
// is listed is revoked.
func FuzzBody(f *testing.F) {
	for _, seed := range []string{
		`[{"token":"TOKEN","type":"example_api_key","url":"https://github.com/acme/site","source":"commit"}]`,
		`[{"token":"TOKEN","type":"TOKEN","url":"https://x/TOKEN?TOKEN","source":"TOKEN"},{"token":"TOKEN"}]`,
		`[{"token":"\u0054OKEN","TYPE":"a","type":"b"}]`,
		`[{"token":"some_token"},{"token":""},{}]`,
		`[]`, `null`, `{}`, `[null]`, `[1]`, `[[]]`, `[{"token":1}]`, `[{"token":"a"}`, "", "\xff", `[{"token":"` + "\xff" + `"}]`,
	} {
		f.Add(seed)
	}
	signer := newSigner()
	m := apikeytest.NewManager(f, nil)
	h := leak.New(m, signer.key, nil)
	pattern := regexp.MustCompile(m.Formats()[0].Regexp())
	f.Fuzz(func(t *testing.T, body string) {
		token := apikeytest.Token(t, m, "acct_42")
		sent := []byte(strings.ReplaceAll(body, "TOKEN", token))
		w := signer.answer(h, sent)
		if strings.Contains(w.Body.String(), token) {
			t.Fatalf("the answer holds the token: %s", w.Body)
		}
		var list []leaked
		isList := json.Unmarshal(sent, &list) == nil && list != nil
		switch w.Code {
		case 200:
		case 400:
			if isList {
				t.Fatalf("a list is malformed: %s", body)
			}
			return
		case 413:
			if len(sent) <= leak.MaxBody && len(list) <= leak.MaxTokens {
				t.Fatalf("%d bytes and %d tokens are too large", len(sent), len(list))
			}
			return
		default:
			t.Fatalf("status %d: %s", w.Code, w.Body)
		}
		want := make(map[label]bool)
		reported := false
		for _, l := range list {
			says := "false_positive"
			if l.Token == token {
				says, reported = "true_positive", true
			}
			one := labelOf(l.Token, says)
			one.TokenType = pattern.ReplaceAllString(l.Type, "[token]")
			want[one] = true
		}
		var got []label
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || !isList {
			t.Fatalf("the answer to %s is %s: %v", body, w.Body, err)
		}
		for _, l := range got {
			if !want[l] {
				t.Fatalf("the answer has a label too many: %+v", l)
			}
			delete(want, l)
		}
		if len(want) > 0 {
			t.Fatalf("labels are missing: %+v", want)
		}
		key, _, err := m.Lookup(t.Context(), token)
		if err != nil || key.RevokedAt.IsZero() == reported {
			t.Fatalf("the token was reported: %v, its key was revoked at %v: %v", reported, key.RevokedAt, err)
		}
	})
}

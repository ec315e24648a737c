package apikeytest

import (
	"context"
	"strings"

	"github.com/go-apikey/apikey"
)

var textPromises = []promise{
	{
		name:  "Text is a plain substring",
		fix:   "escape what LIKE or a pattern takes for more than itself, or filter with Query.Match",
		check: checkPlainText,
	},
	{
		name:  "Text folds case as apikey.Fold does",
		fix:   "store apikey.Fold of name and description and look for apikey.Fold of the text, byte by byte; a database folds otherwise",
		check: checkFold,
	},
	{
		name:  "Text looks into name and description, and no further",
		fix:   "look into the name and the description apart, not into both joined, nor into other columns",
		check: checkTextFields,
	},
}

// textKeys have these names.
func textKeys(names ...string) []*apikey.Key {
	keys := testKeys(len(names), "acct")
	for i, name := range names {
		keys[i].Name = name
	}
	return keys
}

// agreeOnText reports what is wrong if List does not find keys by texts as
// Query.Match does.
func (e *storeEnv) agreeOnText(ctx context.Context, keys []*apikey.Key, texts []string) error {
	if err := e.add(ctx, keys...); err != nil {
		return err
	}
	for _, text := range texts {
		if err := e.agree(ctx, apikey.Query{Owner: "acct", Text: text}, keys); err != nil {
			return err
		}
	}
	return nil
}

func checkPlainText(ctx context.Context, e *storeEnv) error {
	names := []string{
		"100%", "100 percent", "a_b", "axb", `a\b`, "a/b", `\`, `\%`, `\_`, "o'brien", `o"brien`, "obrien", "''", "it''s", "[abc]", "a*b", "a?b",
		"a.b", "^a", "a$", "(a|b)", "a+b", "{1}", "a b", "a  b", " a", "--", "/* */", ";", "$1", "?", ":name", "@p1", "\u00ad", "#", "~", "!", "=",
	}
	texts := append(names, "%", "_", "%%", "__", "'", `"`, `\\`, "[a]", "[", "]", "*", ".", ".*", "a%b", "a_", "%b", "0%", "|", "^", "$", " ", "  ",
		"' OR 'a'='a", "a\\", "!%", "é", strings.Repeat("a", 256), strings.Repeat("%", 256))
	return e.agreeOnText(ctx, textKeys(names...), texts)
}

func checkFold(ctx context.Context, e *storeEnv) error {
	names := []string{
		"kelvin", "KELVIN", "\u212aelvin", // K, k and the Kelvin sign are one
		"istanbul", "ISTANBUL", "\u0130stanbul", "\u0131stanbul", // the dotted and the dotless Turkish i are others
		"straße", "STRASSE", "stra\u1e9ee", // ß and ẞ are one, ss is another
		"sun", "\u017fun", // the long s is an s
		"\u03c3\u03af\u03c3\u03c5\u03c6\u03bf\u03c2", "\u03a3\u03af\u03c3\u03c5\u03c6\u03bf\u03a3", // σ, ς and Σ are one
		"caf\u00e9", "CAF\u00c9", "cafe\u0301", "cafe", // accents are kept, and their forms
		"\uff21\uff22", "\uff41\uff42", "ab", // width is kept
		"Привет", "ПРИВЕТ", "日本語", "ｶﾅ", "カナ", "🔑 key", "\u01c4", "\u01c5", "\u01c6", "\u00b5", "\u03bc", "\u1e9e", "\u2126", "\u03c9", "\u00e5", "\u212b",
		"ﬁn", "fin", "Ω", "\U00010400", "\U00010428", "\u1c88", "\ua64b",
	}
	texts := append([]string(nil), names...)
	for _, name := range names {
		texts = append(texts, strings.ToUpper(name), strings.ToLower(name))
		if r := []rune(name); len(r) > 2 {
			texts = append(texts, string(r[1:len(r)-1]))
		}
	}
	texts = append(texts, "k", "i", "I", "ss", "ß", "s", "e", "\u0301", "🔒")
	return e.agreeOnText(ctx, textKeys(names...), texts)
}

func checkTextFields(ctx context.Context, e *storeEnv) error {
	keys := testKeys(5, "acct")
	for _, k := range keys {
		k.Name, k.Description = "name", "described"
	}
	keys[0].Description = "several\nlines\tof Text"
	keys[1].Name, keys[1].Description = "left", "right"
	keys[2].CreatedBy, keys[2].Metadata, keys[2].Alias = "creator", map[string]string{"note": "metadata"}, "~alias:x"
	keys[3].Description = strings.Repeat("long ", 200) + "end"
	keys[4].Name, keys[4].Description = "", ""
	return e.agreeOnText(ctx, keys, []string{
		"name", "described", "lines", "\n", "\tof", "text", "ftri", "left right", "left\nright", "leftright", "t\x00r", "creator", "metadata", "note",
		"alias", "Key0", "acct", "live", "calls", "sk_", "long end", "suite",
	})
}

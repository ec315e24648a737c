package wiretest

import (
	"net/http"
	"slices"
	"strings"
)

// requestRows are about how a request carries K.
var requestRows = []row{
	{"no header; Authorization empty or spaces", []input{
		fields("no header", func(*world) []field { return nil }, missing),
		auth("empty", func(string) string { return "" }, empty),
		auth("spaces", func(string) string { return "   " }, empty),
		auth("SP and HTAB", func(string) string { return " \t " }, empty),
		fields("X-Api-Key empty", func(*world) []field { return []field{apiKey("")} }, empty),
		fields("both empty", func(*world) []field { return []field{authorization(""), apiKey("")} }, empty),
	}},
	{"Bearer, Bearer␠", []input{
		auth("Bearer", func(string) string { return "Bearer" }, malformed),
		auth("Bearer␠", func(string) string { return "Bearer " }, malformed),
		auth("Bearer␠␠ and HTAB", func(string) string { return "Bearer  \t" }, malformed),
	}},
	{"bEaReR K, Bearer␠␠K, SP or HTAB around the whole value", []input{
		auth("Bearer K", func(k string) string { return "Bearer " + k }, pass),
		fields("X-Api-Key K", func(w *world) []field { return []field{apiKey(w.k)} }, pass),
		auth("bEaReR K", func(k string) string { return "bEaReR " + k }, pass),
		auth("Bearer␠␠K", func(k string) string { return "Bearer  " + k }, pass),
		auth("SP around", func(k string) string { return "  Bearer " + k + "  " }, pass),
		auth("HTAB around", func(k string) string { return "\tBearer " + k + "\t" }, pass),
		fields("around X-Api-Key", func(w *world) []field { return []field{apiKey(" \t" + w.k + "\t ")} }, pass),
	}},
	{"Bearer K K, Bearer quoted K, Bearer=K", []input{
		auth("Bearer K K", func(k string) string { return "Bearer " + k + " " + k }, malformed),
		auth("Bearer K HTAB K", func(k string) string { return "Bearer " + k + "\t" + k }, malformed),
		auth("Bearer K, Bearer K", func(k string) string { return "Bearer " + k + ", Bearer " + k }, malformed),
		auth("Bearer quoted K", func(k string) string { return `Bearer "` + k + `"` }, malformed),
		auth("Bearer=K", func(k string) string { return "Bearer=" + k }, malformed),
	}},
	{"Bearer K=", token("K=", func(w *world) string { return w.k + "=" }, invalid)},
	{"BearerK, Basic", []input{
		auth("BearerK", func(k string) string { return "Bearer" + k }, otherScheme),
		auth("Basic", func(string) string { return "Basic dXNlcjpwYXNzd29yZA==" }, otherScheme),
		auth("Basic of K", func(k string) string { return "Basic " + k }, otherScheme),
		fields("Basic and good X-Api-Key", func(w *world) []field {
			return []field{authorization("Basic dXNlcjpwYXNzd29yZA=="), apiKey(w.k)}
		}, pass),
	}},
	{"two Authorization headers, identical or valid and garbage in either order", []input{
		fields("identical", func(w *world) []field { return []field{bearer(w.k), bearer(w.k)} }, malformed),
		fields("valid, garbage", func(w *world) []field { return []field{bearer(w.k), bearer("garbage")} }, malformed),
		fields("garbage, valid", func(w *world) []field { return []field{bearer("garbage"), bearer(w.k)} }, malformed),
		fields("valid, Basic", func(w *world) []field { return []field{bearer(w.k), authorization("Basic dTpw")} }, malformed),
		fields("empty, valid", func(w *world) []field { return []field{authorization(""), bearer(w.k)} }, malformed),
	}},
	{"Authorization and X-Api-Key, different or the same", []input{
		fields("the same", func(w *world) []field { return []field{bearer(w.k), apiKey(w.k)} }, malformed),
		fields("different", func(w *world) []field { return []field{bearer(w.k), apiKey(w.l)} }, malformed),
		fields("good Bearer, garbage", func(w *world) []field { return []field{bearer(w.k), apiKey("garbage")} }, malformed),
		fields("garbage Bearer, good", func(w *world) []field { return []field{bearer("garbage"), apiKey(w.k)} }, malformed),
		fields("Bearer without a token, good", func(w *world) []field { return []field{authorization("Bearer"), apiKey(w.k)} }, malformed),
	}},
	{"two X-Api-Key; X-Api-Key K,K", []input{
		fields("identical", func(w *world) []field { return []field{apiKey(w.k), apiKey(w.k)} }, malformed),
		fields("different", func(w *world) []field { return []field{apiKey(w.k), apiKey(w.l)} }, malformed),
		fields("good, empty", func(w *world) []field { return []field{apiKey(w.k), apiKey("")} }, malformed),
		fields("in other letters", func(w *world) []field { return []field{{"x-api-key", w.k}, {"X-API-KEY", w.k}} }, malformed),
		fields("K,K", func(w *world) []field { return []field{apiKey(w.k + "," + w.k)} }, malformed),
		fields("K, K", func(w *world) []field { return []field{apiKey(w.k + ", " + w.k)} }, malformed),
	}},
	{"empty X-Api-Key and good Bearer", []input{
		fields("empty", func(w *world) []field { return []field{apiKey(""), bearer(w.k)} }, pass),
		fields("spaces", func(w *world) []field { return []field{bearer(w.k), apiKey(" \t ")} }, pass),
	}},
	{"X_Api_Key K; in the query; in a form body; in a cookie", []input{
		fields("X_Api_Key", func(w *world) []field { return []field{{"X_Api_Key", w.k}} }, missing),
		fields("cookie", func(w *world) []field { return []field{{"Cookie", "api_key=" + w.k}} }, missing),
		{name: "api_key in the query", send: func(w *world) request { return request{query: "?api_key=" + w.k} }, want: missing},
		{name: "access_token in the query", send: func(w *world) request { return request{query: "?access_token=" + w.k} }, want: missing},
		{name: "form body", send: func(w *world) request {
			return request{
				method: http.MethodPost,
				fields: []field{{"Content-Type", "application/x-www-form-urlencoded"}},
				body:   "access_token=" + w.k + "&api_key=" + w.k,
			}
		}, want: missing},
	}},
	{"good header and access_token in the query", []input{
		{name: "access_token=x", send: func(w *world) request {
			return request{query: "?access_token=x", fields: []field{bearer(w.k)}}
		}, want: pass},
	}},
	{"obs-fold", []input{
		onHTTP2(auth("Bearer CR LF SP K", func(k string) string { return "Bearer\r\n " + k }, pass), reset),
	}},
	{"bare LF", []input{
		onHTTP2(fields("Bearer K LF X-Api-Key L", func(w *world) []field {
			return []field{bearer(w.k + "\nX-Api-Key: " + w.l)}
		}, malformed), reset),
	}},
	{"NUL, bare CR, 0x01, 0x0B, 0x7F in the value", controls("\x00", "\r", "\x01", "\x0b", "\x7f")},
	{"NBSP as separator; K followed by NBSP, U+0085 or U+2003; BOM before Bearer; 0xE9; full-width letters", slices.Concat(
		[]input{
			auth("NBSP as separator", func(k string) string { return "Bearer\u00a0" + k }, malformed),
			auth("U+2003 as separator", func(k string) string { return "Bearer\u2003" + k }, malformed),
			auth("HTAB as separator", func(k string) string { return "Bearer\t" + k }, malformed),
			auth("BOM before Bearer", func(k string) string { return "\ufeffBearer " + k }, malformed),
			auth("NBSP before Bearer", func(k string) string { return "\u00a0Bearer " + k }, malformed),
			auth("0xE9 in Bearer", func(k string) string { return "B\xe9arer " + k }, malformed),
			auth("full-width Bearer", func(k string) string { return "Ｂｅａｒｅｒ " + k }, malformed),
		},
		token("K NBSP", func(w *world) string { return w.k + "\u00a0" }, malformed),
		token("K U+0085", func(w *world) string { return w.k + "\u0085" }, malformed),
		token("K U+2003", func(w *world) string { return w.k + "\u2003" }, malformed),
		token("NBSP K", func(w *world) string { return "\u00a0" + w.k }, malformed),
		token("BOM K", func(w *world) string { return "\ufeff" + w.k }, malformed),
		token("0xE9 in K", func(w *world) string { return w.k[:20] + "\xe9" + w.k[21:] }, malformed),
		token("full-width letters", func(w *world) string { return "ｒｄ" + w.k[2:] }, malformed),
	)},
	{"2,000 X-Api-Key lines", []input{
		fields("2,000", func(w *world) []field { return slices.Repeat([]field{apiKey(w.k)}, 2_000) }, malformed),
		fields("15,000 and more than 1 MiB", func(w *world) []field {
			return slices.Repeat([]field{apiKey(w.k + "0123456789")}, 15_000)
		}, tooLarge),
	}},
}

// onHTTP2 is in with another outcome over HTTP/2.
func onHTTP2(in input, want outcome) input {
	in.http2 = &want
	return in
}

// controls are inputs with each of these in a value.
func controls(characters ...string) []input {
	names := strings.NewReplacer("\x00", "NUL", "\r", "CR", "\x01", "0x01", "\x0b", "0x0B", "\x7f", "0x7F")
	var inputs []input
	for _, c := range characters {
		for _, in := range slices.Concat(
			token("K "+names.Replace(c), func(w *world) string { return w.k + c }, atServer),
			token(names.Replace(c)+" K", func(w *world) string { return c + w.k }, atServer),
			token(names.Replace(c)+" in K", func(w *world) string { return w.k[:20] + c + w.k[20:] }, atServer),
			[]input{auth("Bearer "+names.Replace(c)+"K", func(k string) string { return "Bearer" + c + k }, atServer)},
		) {
			inputs = append(inputs, onHTTP2(in, reset))
		}
	}
	return inputs
}

package apikey

import (
	"unicode"
	"unicode/utf8"
)

// printable reports whether s is UTF-8 without control characters and without
// the ones that turn the direction of text (Unicode TR 9, 2), by which a name
// can look like another. With lines, tab and line feed are let through.
func printable(s string, lines bool) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if lines && (r == '\n' || r == '\t') {
			continue
		}
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029' {
			return false
		}
	}
	return true
}

// checkText adds a fault if s has not least to most characters, or others than
// printable ones.
func checkText(f *faults, field, s string, least, most int, lines bool) {
	if n := utf8.RuneCountInString(s); n < least || n > most {
		f.add(field, "must be %d to %d characters", least, most)
	}
	if !printable(s, lines) {
		f.add(field, "must be UTF-8 without control characters and marks that turn the direction of text")
	}
}

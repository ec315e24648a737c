package apikey

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Query asks for keys. Each filter that is set narrows the answer; the zero
// Query matches nothing.
type Query struct {
	Owner         string    // whose keys; a Keyring sets it
	AllOwners     bool      // of all owners; for operators' tools
	IDs           []string  // only these; nil: any. At most 500
	Text          string    // a substring of name or description, case folded (Fold); up to 256 bytes
	Environment   string    // exactly this one; "": any
	States        []State   // one of these, at At; nil: any
	UnusedSince   time.Time // last used, or made if never used, before this
	RotatedBefore time.Time // whose newest secret was made before this
	ExpiresBefore time.Time // that expire, and do so before this
	At            time.Time // the time of States; a Keyring sets it to now where it is zero
	After         Cursor    // the Next of the page before; "": from the start
	Limit         int       // of a page: 1 to 1,000; 0: 50
}

// Page is a part of a list of keys.
type Page struct {
	Keys []*Key `json:"keys"`
	Next Cursor `json:"next,omitempty"` // for Query.After; "": this was the last page
}

// HistoryQuery asks for changes.
type HistoryQuery struct {
	Owner     string // whose keys; a Keyring sets it
	AllOwners bool   // of all owners; for operators' tools
	KeyID     string // of this key; "": of all
	After     Cursor // the Next of the page before; "": from the newest
	Limit     int    // of a page: 1 to 1,000; 0: 50
}

// HistoryPage is a part of the history.
type HistoryPage struct {
	Changes []Change `json:"changes"`
	Next    Cursor   `json:"next,omitempty"` // for HistoryQuery.After; "": this was the last page
}

// Cursor is a position in a list, opaque to whoever pages through it. It holds
// for one owner and one set of filters; it is not secret and grants nothing.
type Cursor string

const (
	defaultPage = 50
	maxPage     = 1000
	maxQueryIDs = 500
)

// Match reports whether q's filters let k through, k.Usage filled in. It is the
// meaning of the filters, and all that a Store without an index needs. After
// and Limit are not looked at.
func (q *Query) Match(k *Key) bool {
	switch {
	case !q.AllOwners && (q.Owner == "" || k.Owner != q.Owner),
		q.Environment != "" && k.Environment != q.Environment,
		q.IDs != nil && !slices.Contains(q.IDs, k.ID),
		q.States != nil && !slices.Contains(q.States, k.State(q.At)):
		return false
	}
	if !q.UnusedSince.IsZero() {
		used := k.Usage.LastUsedAt
		if used.IsZero() {
			used = k.CreatedAt
		}
		if !used.Before(q.UnusedSince) {
			return false
		}
	}
	if !q.RotatedBefore.IsZero() && (len(k.Secrets) == 0 || !k.Secrets[0].CreatedAt.Before(q.RotatedBefore)) {
		return false
	}
	if !q.ExpiresBefore.IsZero() && (k.ExpiresAt.IsZero() || !k.ExpiresAt.Before(q.ExpiresBefore)) {
		return false
	}
	if q.Text == "" {
		return true
	}
	text := Fold(q.Text)
	return strings.Contains(Fold(k.Name), text) || strings.Contains(Fold(k.Description), text)
}

// Fold is the case folding of Query.Text: every character becomes the first of
// those that differ from it by case alone (unicode.SimpleFold), so that "K",
// "k" and the Kelvin sign are one. It changes neither accents nor width.
func Fold(s string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			least = min(least, f)
		}
		return least
	}, s)
}

// CursorAt is the Next of a page of q that ends at the key made at created
// with this ID.
func (q *Query) CursorAt(created time.Time, id string) Cursor {
	return encodeCursor(q.fingerprint(), created.UnixMicro(), id)
}

// Position reads q.After: the page goes on after the key made at created with
// this ID, in the order of [Store.List]. Without After both are zero. A cursor
// that was altered, or that belongs to another owner or filter, is ErrInvalid.
func (q *Query) Position() (created time.Time, id string, err error) {
	if q.After == "" {
		return time.Time{}, "", nil
	}
	us, id, ok := decodeCursor(q.After, q.fingerprint())
	if !ok || !validID(id) {
		return time.Time{}, "", errCursor
	}
	return time.UnixMicro(us).UTC(), id, nil
}

// CursorAt is the Next of a page of q that ends at the Store's n-th change.
func (q *HistoryQuery) CursorAt(n int64) Cursor {
	return encodeCursor(q.fingerprint(), n, "")
}

// Position reads q.After: the page goes on with changes older than the n-th.
// Without After n is 0. Errors as of [Query.Position].
func (q *HistoryQuery) Position() (n int64, err error) {
	if q.After == "" {
		return 0, nil
	}
	n, id, ok := decodeCursor(q.After, q.fingerprint())
	if !ok || id != "" {
		return 0, errCursor
	}
	return n, nil
}

var errCursor error = &InvalidError{Fields: []FieldError{{
	Field: "After", Message: "is not the Next of a page of this owner and these filters; start again without it",
}}}

// fingerprint is of all that a position depends on: owner and filters.
func (q *Query) fingerprint() string {
	return fmt.Sprintf("keys %t %q %q %q %q %q %d %d %d", q.AllOwners, q.Owner, q.IDs, q.Text, q.Environment, q.States,
		q.UnusedSince.UnixMicro(), q.RotatedBefore.UnixMicro(), q.ExpiresBefore.UnixMicro())
}

func (q *HistoryQuery) fingerprint() string {
	return fmt.Sprintf("history %t %q %q", q.AllOwners, q.Owner, q.KeyID)
}

// A cursor is base64url of the first eight bytes of SHA-256 over fingerprint
// and position, then the position: a number of eight bytes and an ID. The hash
// catches mistakes; there is nothing in a cursor to protect.
func encodeCursor(fingerprint string, n int64, id string) Cursor {
	b := make([]byte, 8, 16+len(id))
	b = binary.BigEndian.AppendUint64(b, uint64(n))
	b = append(b, id...)
	sum := sha256.Sum256(append([]byte(fingerprint), b[8:]...))
	copy(b, sum[:8])
	return Cursor(base64.RawURLEncoding.EncodeToString(b))
}

func decodeCursor(c Cursor, fingerprint string) (n int64, id string, ok bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(string(c))
	if err != nil || len(b) < 16 || len(b) > 16+maxIDLen {
		return 0, "", false
	}
	n, id = int64(binary.BigEndian.Uint64(b[8:])), string(b[16:])
	return n, id, encodeCursor(fingerprint, n, id) == c
}

// check validates q and fills in its defaults.
func (q *Query) check(now time.Time) error {
	var f faults
	checkLimit(&f, &q.Limit)
	if len(q.IDs) > maxQueryIDs {
		f.add("IDs", "must be at most %d", maxQueryIDs)
	}
	if len(q.Text) > 256 || !utf8.ValidString(q.Text) {
		f.add("Text", "must be at most 256 bytes of UTF-8")
	}
	for i, s := range q.States {
		switch s {
		case StateActive, StateScheduled, StateExpired, StateDisabled, StateHeld, StateRevoked:
		default:
			f.add(fmt.Sprintf("States[%d]", i), "must be one of active, scheduled, expired, disabled, held, revoked")
		}
	}
	if err := f.err(); err != nil {
		return err
	}
	if q.At.IsZero() {
		q.At = now
	}
	_, _, err := q.Position()
	return err
}

func (q *HistoryQuery) check() error {
	var f faults
	checkLimit(&f, &q.Limit)
	if err := f.err(); err != nil {
		return err
	}
	_, err := q.Position()
	return err
}

func checkLimit(f *faults, limit *int) {
	if *limit == 0 {
		*limit = defaultPage
	}
	if *limit < 1 || *limit > maxPage {
		f.add("Limit", "must be 1 to %d", maxPage)
	}
}

// validOwner reports whether owner is 1 to 255 bytes of UTF-8 without controls.
func validOwner(owner string) bool {
	return owner != "" && len(owner) <= maxOwner && printable(owner, false)
}

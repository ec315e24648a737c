package apikey_test

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/go-apikey/apikey"
)

const postgres = "2006-01-02 15:04:05Z07" // as COPY writes a timestamptz; Parse takes a fraction, too

// oldRow is a row of an old table; "" is NULL. It remembers the first thing
// that could not be read.
type oldRow struct {
	columns map[string]string
	err     error
}

func (r *oldRow) refuse(why string) {
	if r.err == nil {
		r.err = errors.New(why)
	}
}

func (r *oldRow) check(column string, err error) {
	if r.err == nil && err != nil {
		r.err = fmt.Errorf("%s: %w", column, err)
	}
}

func (r *oldRow) text(column string) string {
	s, ok := r.columns[column]
	if !ok {
		r.refuse("no column " + column)
	}
	return s
}

func (r *oldRow) digest(column string) apikey.Digest {
	d, err := apikey.ParseDigest(r.text(column))
	r.check(column, err)
	return d
}

func (r *oldRow) time(layout, column string) (t time.Time) {
	if s := r.text(column); s != "" {
		var err error
		t, err = time.Parse(layout, s)
		r.check(column, err)
	}
	return t
}

// millis is a time in milliseconds; 0 is none.
func (r *oldRow) millis(column string) time.Time {
	s := r.text(column)
	if s == "" || s == "0" {
		return time.Time{}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	r.check(column, err)
	return time.UnixMilli(n).UTC()
}

func (r *oldRow) json(column string, to any) {
	if s := r.text(column); s != "" {
		r.check(column, json.Unmarshal([]byte(s), to))
	}
}

func (r *oldRow) oneOf(column string, of map[string]string) string {
	s, ok := of[r.text(column)]
	if !ok {
		r.refuse("unknown " + column)
	}
	return s
}

// readOld reads a fixture, which stands for a query of the old database.
func readOld(file string, from func(*oldRow) oldKey) (old []oldKey, unread []error) {
	for _, columns := range readTable(file) {
		r := &oldRow{columns: columns}
		k := from(r)
		if r.err != nil {
			unread = append(unread, fmt.Errorf("%s: %w", k.id, r.err))
			continue
		}
		old = append(old, k)
	}
	return old, unread
}

// oldToken is what a client of the old system has, and how that takes it.
type oldToken struct{ id, token, state string }

func readTokens(file string) (tokens []oldToken) {
	for _, t := range readTable("tokens.csv") {
		if t["file"] == file {
			tokens = append(tokens, oldToken{t["key"], t["token"], t["state"]})
		}
	}
	return tokens
}

func readTable(file string) (rows []map[string]string) {
	f, err := os.Open(filepath.Join("testdata", "migrate", file))
	if err != nil {
		panic(err)
	}
	defer f.Close()
	all, err := csv.NewReader(f).ReadAll()
	if err != nil {
		panic(err)
	}
	for _, record := range all[1:] {
		row := make(map[string]string, len(record))
		for i, value := range record {
			row[all[0][i]] = value
		}
		rows = append(rows, row)
	}
	return rows
}

func readJSON(file string, to any) {
	data, err := os.ReadFile(filepath.Join("testdata", "migrate", file))
	if err == nil {
		err = json.Unmarshal(data, to)
	}
	if err != nil {
		panic(err)
	}
}

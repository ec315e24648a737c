package keyadmin

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-apikey/apikey"
)

const csvType = "text/csv; charset=utf-8"

// csvIn narrows the list as listIn does.
type csvIn struct {
	State         []apikey.State `query:"state" enum:"active,scheduled,expired,disabled,held,revoked" doc:"One of these, separated by commas."`
	Q             string         `query:"q" doc:"A part of the name or description, in any letter case; up to 256 bytes."`
	Environment   string         `query:"environment"`
	UnusedSince   time.Time      `query:"unused_since" doc:"Last used, or made if never used, before this."`
	RotatedBefore time.Time      `query:"rotated_before" doc:"Whose newest token was made before this."`
	ExpiresBefore time.Time      `query:"expires_before" doc:"That expire, and do so before this."`
}

type csvOut struct {
	ContentType string `header:"Content-Type" hidden:"true"`
	Disposition string `header:"Content-Disposition"`
	Body        func(huma.Context)
}

var csvColumns = []string{
	"id", "name", "description", "masked", "environment", "state", "permissions", "created_at", "created_by", "not_before", "expires_at",
	"disabled_at", "held_at", "revoked_at", "last_used_at", "requests", "limited", "denied", "networks",
}

// csv is all that the filters let through. The first page is read before the
// answer begins; if a later one fails, the answer is broken off, so that
// nobody takes the part for the whole.
func (a *api) csv(ctx context.Context, who *admitted, in *csvIn) (*csvOut, error) {
	q := apikey.Query{
		Text: in.Q, Environment: in.Environment, States: in.State, UnusedSince: in.UnusedSince,
		RotatedBefore: in.RotatedBefore, ExpiresBefore: in.ExpiresBefore, Limit: maxPage,
	}
	page, err := who.keys.List(ctx, q)
	if err != nil {
		return nil, err
	}
	return &csvOut{ContentType: csvType, Disposition: `attachment; filename="keys.csv"`, Body: func(hc huma.Context) {
		w := hc.BodyWriter()
		_, _ = w.Write([]byte(csvRow(csvColumns)))
		for {
			var rows strings.Builder
			for _, k := range page.Keys {
				rows.WriteString(csvRow(who.cells(k)))
			}
			if _, err := w.Write([]byte(rows.String())); err != nil || page.Next == "" {
				return
			}
			q.After = page.Next
			if page, err = who.keys.List(ctx, q); err != nil {
				panic(http.ErrAbortHandler)
			}
		}
	}}, nil
}

func (a *admitted) cells(k *apikey.Key) []string {
	at := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.UTC().Format(time.RFC3339Nano)
	}
	list := func(v any) string { return strings.Trim(fmt.Sprint(v), "[]") } // of what has neither
	count := func(n int64) string { return strconv.FormatInt(n, 10) }
	return []string{
		k.ID, k.Name, k.Description, k.Masked(), k.Environment, string(k.State(a.now)), list(k.Permissions), at(k.CreatedAt), k.CreatedBy,
		at(k.NotBefore), at(k.ExpiresAt), at(k.DisabledAt), at(k.HeldAt), at(k.RevokedAt), at(k.Usage.LastUsedAt),
		count(k.Usage.Requests), count(k.Usage.Limited), count(k.Usage.Denied), list(k.Networks),
	}
}

// csvRow is a line of RFC 4180, every cell quoted.
func csvRow(cells []string) string {
	quoted := make([]string, len(cells))
	for i, cell := range cells {
		quoted[i] = `"` + strings.ReplaceAll(inert(cell), `"`, `""`) + `"`
	}
	return strings.Join(quoted, ",") + "\r\n"
}

// inert has a spreadsheet show a cell, where it would compute it: those that
// begin so, also in full width, are marked as text (OWASP, CSV injection).
func inert(cell string) string {
	if strings.IndexAny(cell, "=+-@\t\r\n＝＋－＠") == 0 {
		return "'" + cell
	}
	return cell
}

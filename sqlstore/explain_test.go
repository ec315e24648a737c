package sqlstore_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/go-apikey/apikey/sqlstore"
	"github.com/go-apikey/apikey/sqlstore/internal/sqltest"
)

// plan is how a database runs a statement.
type plan struct {
	whole  []string // the tables of ours that it reads from one end to the other
	looked float64  // rows it looked at, of all tables together; SQLite does not say
	text   string
}

// explain has the database run a statement and say how it did: on PostgreSQL
// also by the plan that serves all arguments, which it takes up after a while.
func explain(t *testing.T, db *sqltest.Database, d sqlstore.Dialect, s sqlstore.Sent) []plan {
	t.Helper()
	switch d {
	case sqlstore.PostgreSQL:
		return []plan{explainPostgres(t, db, s, false), explainPostgres(t, db, s, true)}
	case sqlstore.MySQL:
		return []plan{explainMySQL(t, db, s)}
	}
	return []plan{explainSQLite(t, db, s)}
}

func explainPostgres(t *testing.T, db *sqltest.Database, s sqlstore.Sent, generic bool) plan {
	t.Helper()
	ctx := t.Context()
	conn, err := db.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	mode := "force_custom_plan"
	if generic {
		mode = "force_generic_plan"
	}
	run := func(text string) {
		if _, err := conn.ExecContext(ctx, text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	run("SET plan_cache_mode = " + mode)
	run("PREPARE explained AS " + s.Text)
	values := make([]string, len(s.Args))
	for i, v := range s.Args {
		switch v := v.(type) {
		case int64:
			values[i] = fmt.Sprint(v)
		case []byte:
			values[i] = fmt.Sprintf(`'\x%x'`, v)
		default:
			values[i] = "'" + strings.ReplaceAll(fmt.Sprint(v), "'", "''") + "'"
		}
	}
	var text string
	err = conn.QueryRowContext(ctx, "EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE explained ("+strings.Join(values, ", ")+")").Scan(&text)
	if err != nil {
		t.Fatalf("%s: %v", s.Text, err)
	}
	run("DEALLOCATE explained")
	run("RESET plan_cache_mode")
	p := plan{text: mode + "\n"}
	walk(t, text, func(node map[string]any) {
		table, _ := node["Relation Name"].(string)
		kind, _ := node["Node Type"].(string)
		if strings.HasSuffix(kind, "Seq Scan") {
			p.whole = append(p.whole, table)
		}
		if strings.HasSuffix(kind, "Scan") && strings.Contains(kind, "Index") || table != "" {
			rows := number(node, "Actual Rows") + number(node, "Rows Removed by Filter") + number(node, "Rows Removed by Index Recheck")
			p.looked += rows * number(node, "Actual Loops")
			p.text += fmt.Sprintln(kind, table, node["Index Name"], rows, "rows", node["Actual Loops"], "times")
		}
	})
	return p
}

func explainMySQL(t *testing.T, db *sqltest.Database, s sqlstore.Sent) plan {
	t.Helper()
	var text string
	if err := db.QueryRowContext(t.Context(), "ANALYZE FORMAT=JSON "+s.Text, s.Args...).Scan(&text); err != nil {
		t.Fatalf("%s: %v", s.Text, err)
	}
	var p plan
	walk(t, notEscapes.ReplaceAllString(text, "?"), func(node map[string]any) {
		table, _ := node["table_name"].(string)
		if table == "" || table == "j" || strings.HasPrefix(table, "<derived") { // the list of IDs, what another part found
			return
		}
		if kind := node["access_type"]; kind == "ALL" || kind == "index" && !strings.Contains(s.Text, "LIMIT") {
			p.whole = append(p.whole, table)
		}
		p.looked += number(node, "r_rows") * number(node, "r_loops")
		p.text += fmt.Sprintln(node["access_type"], table, node["key"], node["r_rows"], "rows", node["r_loops"], "times")
	})
	return p
}

// notEscapes are what MariaDB makes of bytes that are no text, in its JSON.
var notEscapes = regexp.MustCompile(`\\[^"\\/bfnrtu]`)

func explainSQLite(t *testing.T, db *sqltest.Database, s sqlstore.Sent) (p plan) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+s.Text, s.Args...)
	if err != nil {
		t.Fatalf("%s: %v", s.Text, err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id, parent, unused int
		var line string
		if err := rows.Scan(&id, &parent, &unused, &line); err != nil {
			t.Fatal(err)
		}
		p.text += line + "\n"
		if table, scan := strings.CutPrefix(line, "SCAN "); scan && !notTables.MatchString(table) {
			p.whole = append(p.whole, table)
		}
		if strings.Contains(s.Text, "k.owner") && strings.Contains(line, "apikey_keys_created") {
			p.whole = append(p.whole, "everybody's keys")
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return p
}

// notTables are what a plan of SQLite scans that is no table: the list of IDs,
// what another part of the statement found.
var notTables = regexp.MustCompile(`^(json_each.*|CONSTANT ROW|forever|expiring)$`)

// walk calls f for each object in text.
func walk(t *testing.T, text string, f func(map[string]any)) {
	t.Helper()
	var root any
	if err := json.Unmarshal([]byte(text), &root); err != nil {
		t.Fatal(err)
	}
	var visit func(any)
	visit = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			f(v)
			for _, child := range v {
				visit(child)
			}
		case []any:
			for _, child := range v {
				visit(child)
			}
		}
	}
	visit(root)
}

func number(node map[string]any, name string) float64 {
	n, _ := node[name].(float64)
	return n
}

package sqlstore

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// statement is the text of an SQL statement as it goes to the driver. The
// texts that it is made from name tables as {keys} and parameters as $owner;
// what is put in is the prefix of the tables, fixed by New, and placeholders.
type statement struct {
	text   string
	params []string // the parameter that each argument is for
}

// args are a statement's arguments by the names of its parameters.
type args map[string]any

var (
	tableName = regexp.MustCompile(`\{([a-z_]+)\}`)
	paramName = regexp.MustCompile(`\$([a-z_]+)`)
)

// notNumbers are the types, on PostgreSQL, of the parameters that are no
// bigint. A type said outright is the same under every driver and every way to
// execute.
var notNumbers = map[string]string{
	"id": "text", "end_id": "text", "alias": "text", "owner": "text", "environment": "text", "node": "text", "entry": "text", "ids": "text",
	"keys": "text", "secrets": "text", "hours": "text", "requests": "text", "limited": "text", "denied": "text", "used": "text",
	"times": "text", "peers": "text", "reasons": "text", "key_ids": "text",
	"change_owner": "text", "change_key": "text", "channel": "text", "snapshot": "text", "search": "bytea", "record": "bytea",
}

func newStatement(d Dialect, prefix, text string) *statement {
	s := &statement{}
	text = tableName.ReplaceAllString(strings.TrimSpace(text), prefix+"$1")
	numbers := make(map[string]int)
	s.text = paramName.ReplaceAllStringFunc(text, func(p string) string {
		name := p[1:]
		if d != PostgreSQL {
			s.params = append(s.params, name)
			return "?"
		}
		if numbers[name] == 0 {
			s.params = append(s.params, name)
			numbers[name] = len(s.params)
		}
		typ := notNumbers[name]
		if typ == "" {
			typ = "bigint"
		}
		return "$" + strconv.Itoa(numbers[name]) + "::" + typ
	})
	return s
}

// bind puts the arguments in the order of the placeholders.
func (s *statement) bind(a args) []any {
	bound := make([]any, len(s.params))
	for i, name := range s.params {
		v, ok := a[name]
		if !ok {
			panic(fmt.Sprintf("apikey: sqlstore: no argument $%s for %s", name, s.text)) // a mistake in this package
		}
		bound[i] = v
	}
	return bound
}

// statements are all that a Store sends, but for the migrations.
type statements struct {
	prefix string // of the tables

	tables, versions *statement // of the schema

	getByID, getByAlias *statement

	listOwner, listAll, listIDs *statement // a page without filters
	findOwner, findAll          *statement // a page with filters, down to an end
	endOwner, endAll            *statement // of the keys that one call looks at
	due                         *statement // the places of those due for rotation
	usage                       *statement // of the keys of a page

	lockOwner, create, count, countNow, update, stored, lockKey, remove *statement
	takeNames, insertKey, insertHistory                                 *statement // where create and update are not one statement
	removeAll                                                           []*statement

	lockNode, hadBatches, usable, addUsage, addRefusals, addHours, keepBatch *statement
	hours                                                                    *statement
	historyAll, historyOwner, historyKey, historyOwnerKey                    *statement

	feedNow, feedNext, feedPending, feedInFlight *statement

	pruneHours, oldHistory, pruneHistory, oldNode, pruneNode, pruneBatches *statement
}

func newStatements(d Dialect, prefix string) *statements {
	t := textsOf(d)
	live := strings.NewReplacer("{never_expire}", t.neverExpire, "{expire_later}", t.expireLater, "{by_expiry}", t.byExpiry).Replace(liveKeys)
	liveNow := live
	if d == MySQL { // in a transaction of the host's that sees what was there when it began
		liveNow = strings.ReplaceAll(live, "LIMIT $most", "LIMIT $most LOCK IN SHARE MODE")
	}
	fragments := strings.NewReplacer("{in_ids}", t.inIDs, "{has_text}", t.hasText, "{after}", after, "{until}", until, "{live_keys}", live)
	compile := func(text string) *statement {
		if text == "" {
			return nil
		}
		return newStatement(d, prefix, withTableNames(fragments.Replace(text)))
	}
	ordered := func(text, by string) *statement { return compile(strings.ReplaceAll(text, "{by_owner}", by)) }
	ofAll := func(text string) *statement { return ordered(text, "") }
	ofOwner := func(text string) *statement { return ordered(text, t.byOwner) }
	history := func(where, column, argument string) *statement {
		by := t.byHistory
		if column == "" {
			by = ""
		}
		text := strings.ReplaceAll(historySelect+where+historyOrder, "{by_history}", by)
		return compile(strings.NewReplacer("{column}", column, "{argument}", argument).Replace(text))
	}
	s := &statements{
		prefix: prefix,
		tables: compile(t.tables), versions: compile(versionsText),
		getByID: compile(getByIDText), getByAlias: compile(getByAliasText),
		listOwner: ofOwner(listSelect + t.ofOwner + listOrder), listAll: ofAll(listSelect + after + listOrder),
		listIDs:   ofAll(listSelect + listed + listOrder),
		findOwner: ofOwner(listSelect + t.partOfOwner + filters + listOrder),
		findAll:   ofAll(listSelect + after + " AND " + until + filters + listOrder),
		endOwner:  ofOwner(endSelect + t.ofOwner + endOrder), endAll: ofAll(endSelect + after + endOrder),
		due:       compile(dueText),
		usage:     compile(usageText),
		lockOwner: compile(t.lockOwner), create: compile(t.create), count: compile(countText), countNow: compile(strings.ReplaceAll(countText, "{live_keys}", liveNow)), update: compile(t.update),
		stored: compile(t.stored), lockKey: compile(t.lockKey), remove: compile(removeText),
		takeNames: compile(t.takeNames), insertKey: compile(t.insertKey), insertHistory: compile(t.insertHistory),
		lockNode: compile(t.lockNode), hadBatches: compile(t.hadBatches), usable: compile(t.usable), addUsage: compile(t.addUsage),
		addRefusals: compile(t.addRefusals), addHours: compile(t.addHours), keepBatch: compile(t.keepBatch),
		hours:      compile(hoursText),
		historyAll: history(historyBefore, "", ""), historyOwner: history(t.ofHistory, "owner", "$owner"),
		historyKey: history(t.ofHistory, "key_id", "$id"), historyOwnerKey: history(t.ofHistory+andHistoryOwner, "key_id", "$id"),
		feedNow: compile(t.feedNow), feedNext: compile(t.feedNext), feedPending: compile(t.feedPending), feedInFlight: compile(t.feedInFlight),
		pruneHours: compile(t.pruneHours), oldHistory: compile(oldHistoryText), pruneHistory: compile(pruneHistoryText),
		oldNode: compile(oldNodeText), pruneNode: compile(pruneNodeText), pruneBatches: compile(pruneBatchesText),
	}
	for _, text := range removeAllTexts {
		s.removeAll = append(s.removeAll, compile(text))
	}
	return s
}

// withTableNames puts in the names of all tables as strings.
func withTableNames(text string) string {
	return strings.ReplaceAll(text, "{table_names}", "'{"+strings.Join(tableNames, "}', '{")+"}'")
}

func textsOf(d Dialect) *texts {
	switch d {
	case PostgreSQL:
		return &postgresTexts
	case MySQL:
		return &mysqlTexts
	}
	return &sqliteTexts
}

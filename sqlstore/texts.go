package sqlstore

// texts are the statements that differ between the dialects. Each has one file.
type texts struct {
	schema [][]string // the statements of each migration; from 1
	tables string     // which of our tables there are

	inIDs       string // is one of the IDs in the JSON list $ids
	hasText     string // k.search has $search in it
	ofOwner     string // k is of $owner, after a position
	partOfOwner string // the same, until another
	byOwner     string // what the order of both begins with
	neverExpire string // is a key of $owner that never does
	expireLater string // is one that does after $at
	byExpiry    string // the order of both, where it needs saying
	ofHistory   string // {column} is {argument}, before a place
	byHistory   string // what its order begins with

	lockOwner, create, update           string
	stored                              string // what is compared with a record that was not replaced
	lockKey                             string // the same, kept from changing until the transaction ends
	takeNames, insertKey, insertHistory string

	lockNode, hadBatches, usable, addUsage, addRefusals, addHours, keepBatch string

	feedNow, feedNext, feedPending, feedInFlight string
	pruneHours                                   string
}

// tableNames are the tables, without their prefix.
var tableNames = []string{"schema", "names", "owners", "keys", "usage", "hours", "nodes", "batches", "history"}

const (
	storedText = `SELECT version, owner, created_at, COALESCE(alias, '') FROM {keys} WHERE id = $id`

	versionsText = `SELECT version, done FROM {schema} ORDER BY version`

	getByIDText    = `SELECT record FROM {keys} WHERE id = $id`
	getByAliasText = `SELECT record FROM {keys} WHERE alias = $id`

	// Where it is no part of a larger statement, as it is on PostgreSQL.
	updateKey = `
UPDATE {keys} SET version = $version, environment = $environment, revoked_at = $revoked_at, held_at = $held_at,
	disabled_at = $disabled_at, expires_at = $expires_at, not_before = $not_before, rotated_at = $rotated_at,
	search = $search, record = $record
WHERE id = $id AND version = $version - 1 AND owner = $owner AND created_at = $created AND COALESCE(alias, '') = $alias`
	insertChange = `
INSERT INTO {history} (owner, key_id, alias, at, entry) VALUES ($change_owner, $change_key, $alias, $change_at, $entry)`

	// Keys, newest first.
	listSelect = `
SELECT k.record FROM {keys} k
WHERE `
	listOrder = `
ORDER BY {by_owner}k.created_at DESC, k.id DESC LIMIT $number`
	// Those after a position, and until another. A comparison of rows says the
	// same in one, but MySQL has no index for it.
	after  = `k.created_at <= $created AND (k.created_at < $created OR k.id < $id)`
	until  = `k.created_at >= $end_created AND (k.created_at > $end_created OR k.id >= $end_id)`
	listed = after + `
	AND k.id {in_ids}`
	// A filter that is not set lets everything through by its argument. States
	// are bits, in the order in which they prevail.
	filters = `
	AND ($environment = '' OR k.environment = $environment)
	AND (CASE WHEN k.revoked_at <> 0 THEN 1 WHEN k.held_at <> 0 THEN 2 WHEN k.disabled_at <> 0 THEN 4
		WHEN k.expires_at <> 0 AND k.expires_at <= $at THEN 8 WHEN k.not_before <> 0 AND k.not_before > $at THEN 16
		ELSE 32 END & $states) <> 0
	AND k.rotated_at <= $rotated
	AND k.expires_at >= $expires_from AND k.expires_at <= $expires_to
	AND {has_text}
	AND ($unused = 9223372036854775807
		OR COALESCE((SELECT NULLIF(MAX(u.last_used), 0) FROM {usage} u WHERE u.key_id = k.id), k.created_at) <= $unused)`
	endSelect = `
SELECT k.created_at, k.id FROM {keys} k
WHERE `
	endOrder = `
ORDER BY {by_owner}k.created_at DESC, k.id DESC LIMIT 1 OFFSET $number`

	// How many keys of an owner are live, but for this one: of those that never
	// expire at most $most are counted, and as many of those that do. An index has
	// them apart from the dead, which may be a thousand times as many.
	countText = `SELECT {live_keys}`
	liveKeys  = `
(SELECT COUNT(*) FROM (SELECT 1 FROM {keys}
	WHERE {never_expire} AND revoked_at = 0 AND id <> $id {by_expiry} LIMIT $most) forever)
+ (SELECT COUNT(*) FROM (SELECT 1 FROM {keys}
	WHERE {expire_later} AND revoked_at = 0 AND id <> $id {by_expiry} LIMIT $most) expiring)`
	neverExpire = `owner = $owner AND expires_at = 0`
	expireLater = `owner = $owner AND expires_at > $at AND expires_at <> 0`
	// By an index of the keys that are not revoked. Sorted so, a plan for a large
	// table reads nothing else.
	dueText   = `SELECT created_at, id FROM {keys} WHERE revoked_at = 0 AND rotated_at <= $rotated ORDER BY rotated_at LIMIT $number`
	usageText = `
SELECT key_id, secret, requests, limited, denied, last_used, refused_at, refused_peer, refused_reason
FROM {usage} WHERE key_id {in_ids}`
	removeText = `DELETE FROM {keys} WHERE id = $id`

	// Of the batches that a node sent before, the IDs of those that may matter.
	hadBatches = `SELECT slot, seq, CASE WHEN seq >= $seq THEN key_ids ELSE '' END FROM {batches} WHERE node = $node`

	hoursText = `
SELECT hour, requests, limited, denied FROM {hours} WHERE key_id = $id AND hour >= $from AND hour < $to ORDER BY hour`

	historySelect = `SELECT n, entry FROM {history} WHERE `
	historyBefore = `n < $before`
	// Said so, it is no question to the owner's index, nor expected to be seldom
	// true: the key's index alone will do, and an owner may have more changes.
	andHistoryOwner = ` AND CASE WHEN owner = $owner THEN 1 ELSE 0 END <> 0`
	historyOrder    = ` ORDER BY {by_history}n DESC LIMIT $number`

	// History is pruned from its beginning, so that its times need no index.
	oldHistoryText   = `SELECT n, at FROM {history} ORDER BY n LIMIT $number`
	pruneHistoryText = `DELETE FROM {history} WHERE n <= $n AND at < $at`
	pruneBatchesText = `DELETE FROM {batches} WHERE node = $node`
	oldNodeText      = `SELECT node FROM {nodes} WHERE seen_at < $at LIMIT 1`
	pruneNodeText    = `DELETE FROM {nodes} WHERE node = $node AND seen_at < $at`
)

// removeAllTexts remove what is beside a key, when its own row is removed: a
// batch of usage holds that row until it is committed.
var removeAllTexts = []string{
	`DELETE FROM {usage} WHERE key_id = $id`,
	`DELETE FROM {hours} WHERE key_id = $id`,
}

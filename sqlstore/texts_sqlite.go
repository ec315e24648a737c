package sqlstore

var sqliteTexts = texts{
	schema: [][]string{{
		`CREATE TABLE {schema} (version INTEGER PRIMARY KEY, done INTEGER NOT NULL) STRICT`,
		`INSERT INTO {schema} (version, done) VALUES (1, 0)`,
		`CREATE TABLE {names} (name TEXT PRIMARY KEY, key_id TEXT NOT NULL) STRICT, WITHOUT ROWID`,
		`CREATE TABLE {owners} (owner TEXT PRIMARY KEY, locks INTEGER NOT NULL) STRICT, WITHOUT ROWID`,
		`CREATE TABLE {keys} (
	id TEXT NOT NULL PRIMARY KEY,
	alias TEXT UNIQUE,
	owner TEXT NOT NULL,
	created_at INTEGER NOT NULL,
	version INTEGER NOT NULL,
	environment TEXT NOT NULL,
	revoked_at INTEGER NOT NULL,
	held_at INTEGER NOT NULL,
	disabled_at INTEGER NOT NULL,
	expires_at INTEGER NOT NULL,
	not_before INTEGER NOT NULL,
	rotated_at INTEGER NOT NULL,
	search BLOB NOT NULL,
	record BLOB NOT NULL
) STRICT`,
		`CREATE INDEX {keys}_owner ON {keys} (owner, created_at, id)`,
		`CREATE INDEX {keys}_created ON {keys} (created_at, id)`,
		`CREATE INDEX {keys}_live ON {keys} (owner, expires_at) WHERE revoked_at = 0`,
		`CREATE INDEX {keys}_due ON {keys} (rotated_at) WHERE revoked_at = 0`,
		`CREATE TABLE {usage} (
	key_id TEXT NOT NULL,
	secret INTEGER NOT NULL,
	requests INTEGER NOT NULL,
	limited INTEGER NOT NULL,
	denied INTEGER NOT NULL,
	last_used INTEGER NOT NULL,
	refused_at INTEGER NOT NULL,
	refused_peer TEXT NOT NULL,
	refused_reason TEXT NOT NULL,
	PRIMARY KEY (key_id, secret)
) STRICT, WITHOUT ROWID`,
		`CREATE TABLE {hours} (
	key_id TEXT NOT NULL,
	hour INTEGER NOT NULL,
	requests INTEGER NOT NULL,
	limited INTEGER NOT NULL,
	denied INTEGER NOT NULL,
	PRIMARY KEY (key_id, hour)
) STRICT, WITHOUT ROWID`,
		`CREATE INDEX {hours}_hour ON {hours} (hour)`,
		`CREATE TABLE {nodes} (node TEXT PRIMARY KEY, seen_at INTEGER NOT NULL) STRICT, WITHOUT ROWID`,
		`CREATE TABLE {batches} (
	node TEXT NOT NULL, slot INTEGER NOT NULL, seq INTEGER NOT NULL, key_ids TEXT NOT NULL, PRIMARY KEY (node, slot)
) STRICT, WITHOUT ROWID`,
		`CREATE TABLE {history} (
	n INTEGER PRIMARY KEY AUTOINCREMENT,
	owner TEXT NOT NULL,
	key_id TEXT NOT NULL,
	alias TEXT NOT NULL,
	at INTEGER NOT NULL,
	entry TEXT NOT NULL
) STRICT`,
		`CREATE INDEX {history}_owner ON {history} (owner, n)`,
		`CREATE INDEX {history}_key ON {history} (key_id, n)`,
		`UPDATE {schema} SET done = 1 WHERE version = 1`,
	}},
	tables: `SELECT name FROM sqlite_master WHERE type = 'table' AND name IN ({table_names})`,

	inIDs:       `IN (SELECT value FROM json_each($ids))`,
	hasText:     `instr(k.search, $search) > 0`,
	ofOwner:     `k.owner = $owner AND {after}`,
	partOfOwner: `k.owner = $owner AND {after} AND {until}`,
	neverExpire: neverExpire,
	expireLater: expireLater,
	ofHistory:   `{column} = {argument} AND n < $before`,

	// Nobody else writes meanwhile, so that nothing needs to be locked.
	takeNames: `
INSERT INTO {names} (name, key_id) SELECT $id, $id UNION SELECT $alias, $id WHERE $alias <> '' ON CONFLICT DO NOTHING`,
	insertKey: `
INSERT INTO {keys} (id, alias, owner, created_at, version, environment, revoked_at, held_at, disabled_at, expires_at,
	not_before, rotated_at, search, record)
SELECT $id, NULLIF($alias, ''), $owner, $created, $version, $environment, $revoked_at, $held_at, $disabled_at, $expires_at,
	$not_before, $rotated_at, $search, $record
FROM (SELECT {live_keys} AS n) live
WHERE $max < 0 OR live.n < $max`,
	update:        updateKey,
	stored:        storedText,
	lockKey:       storedText,
	insertHistory: insertChange,

	lockNode: `
INSERT INTO {nodes} (node, seen_at) VALUES ($node, $seen)
ON CONFLICT (node) DO UPDATE SET seen_at = max(seen_at, excluded.seen_at)`,
	hadBatches: hadBatches,
	usable:     `SELECT k.id FROM json_each($ids) j CROSS JOIN {keys} k ON k.id = j.value`,
	// One row at a time, by addRows.
	addUsage: `
INSERT INTO {usage} (key_id, secret, requests, limited, denied, last_used, refused_at, refused_peer, refused_reason)
VALUES ($key, $secret, $requests, $limited, $denied, $used, 0, '', '')
ON CONFLICT (key_id, secret) DO UPDATE SET requests = requests + excluded.requests, limited = limited + excluded.limited,
	denied = denied + excluded.denied, last_used = max(last_used, excluded.last_used)`,
	addRefusals: `
UPDATE {usage} SET refused_at = j.at, refused_peer = j.peer, refused_reason = j.reason
FROM (SELECT $key AS key_id, $secret AS secret, $at AS at, $peer AS peer, $reason AS reason) j
WHERE {usage}.key_id = j.key_id AND {usage}.secret = j.secret AND refused_at < j.at`,
	addHours: `
INSERT INTO {hours} (key_id, hour, requests, limited, denied) VALUES ($key, $hour, $requests, $limited, $denied)
ON CONFLICT (key_id, hour) DO UPDATE SET requests = requests + excluded.requests, limited = limited + excluded.limited,
	denied = denied + excluded.denied`,
	keepBatch: `
INSERT INTO {batches} (node, slot, seq, key_ids) VALUES ($node, $slot, $seq, $key_ids)
ON CONFLICT (node, slot) DO UPDATE SET seq = excluded.seq, key_ids = excluded.key_ids`,

	feedNow:  `SELECT COALESCE(MAX(n), 0), '' FROM {history}`,
	feedNext: `SELECT n, key_id, alias FROM {history} WHERE n > $n ORDER BY n LIMIT $number`,

	pruneHours: `
DELETE FROM {hours} WHERE (key_id, hour) IN (SELECT key_id, hour FROM {hours} WHERE hour < $at ORDER BY hour LIMIT $number)`,
}

package sqlstore

var sqliteTexts = texts{ //nolint:gosec // no credentials: a secret is known here by its number
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
		`CREATE TABLE {usage} (
	key_id TEXT PRIMARY KEY,
	requests INTEGER NOT NULL,
	limited INTEGER NOT NULL,
	denied INTEGER NOT NULL,
	last_used INTEGER NOT NULL,
	refused_at INTEGER NOT NULL,
	refused_peer TEXT NOT NULL,
	refused_reason TEXT NOT NULL
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
		`CREATE TABLE {last_use} (
	key_id TEXT NOT NULL, secret INTEGER NOT NULL, last_used INTEGER NOT NULL, PRIMARY KEY (key_id, secret)
) STRICT, WITHOUT ROWID`,
		`CREATE TABLE {nodes} (node TEXT PRIMARY KEY, seen_at INTEGER NOT NULL) STRICT, WITHOUT ROWID`,
		`CREATE TABLE {marks} (
	key_id TEXT NOT NULL, node TEXT NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (key_id, node)
) STRICT, WITHOUT ROWID`,
		`CREATE INDEX {marks}_node ON {marks} (node, key_id)`,
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

	// Nobody else writes meanwhile, so that nothing needs to be locked.
	takeNames: `
INSERT INTO {names} (name, key_id) SELECT $id, $id UNION SELECT $alias, $id WHERE $alias <> '' ON CONFLICT DO NOTHING`,
	insertKey: `
INSERT INTO {keys} (id, alias, owner, created_at, version, environment, revoked_at, held_at, disabled_at, expires_at,
	not_before, rotated_at, search, record)
SELECT $id, NULLIF($alias, ''), $owner, $created, $version, $environment, $revoked_at, $held_at, $disabled_at, $expires_at,
	$not_before, $rotated_at, $search, $record
FROM (SELECT COUNT(*) AS n FROM (SELECT 1 FROM {keys}
	WHERE owner = $owner AND revoked_at = 0 AND (expires_at = 0 OR expires_at > $at) LIMIT $most) x) live
WHERE $max < 0 OR live.n < $max`,
	update:        updateKey,
	stored:        `SELECT version, owner, created_at, COALESCE(alias, '') FROM {keys} WHERE id = $id`,
	insertHistory: insertChange,

	lockNode: `
INSERT INTO {nodes} (node, seen_at) VALUES ($node, $seen)
ON CONFLICT (node) DO UPDATE SET seen_at = max(seen_at, excluded.seen_at)`,
	usable: `
SELECT k.id, COALESCE(m.seq, 0)
FROM json_each($ids) j CROSS JOIN {keys} k ON k.id = j.value LEFT JOIN {marks} m ON m.key_id = k.id AND m.node = $node`,
	addUsage: `
INSERT INTO {usage} (key_id, requests, limited, denied, last_used, refused_at, refused_peer, refused_reason)
SELECT value ->> 'k', value ->> 'r', value ->> 'l', value ->> 'd', value ->> 'u', value ->> 't', value ->> 'p', value ->> 'w'
FROM json_each($rows) WHERE true
ON CONFLICT (key_id) DO UPDATE SET requests = requests + excluded.requests, limited = limited + excluded.limited,
	denied = denied + excluded.denied, last_used = max(last_used, excluded.last_used),
	refused_peer = CASE WHEN excluded.refused_at > refused_at THEN excluded.refused_peer ELSE refused_peer END,
	refused_reason = CASE WHEN excluded.refused_at > refused_at THEN excluded.refused_reason ELSE refused_reason END,
	refused_at = max(refused_at, excluded.refused_at)`,
	addHours: `
INSERT INTO {hours} (key_id, hour, requests, limited, denied)
SELECT value ->> 'k', value ->> 'h', value ->> 'r', value ->> 'l', value ->> 'd' FROM json_each($rows) WHERE true
ON CONFLICT (key_id, hour) DO UPDATE SET requests = requests + excluded.requests, limited = limited + excluded.limited,
	denied = denied + excluded.denied`,
	addSecrets: `
INSERT INTO {last_use} (key_id, secret, last_used)
SELECT value ->> 'k', value ->> 's', value ->> 'u' FROM json_each($rows) WHERE true
ON CONFLICT (key_id, secret) DO UPDATE SET last_used = max(last_used, excluded.last_used)`,
	addMarks: `
INSERT INTO {marks} (key_id, node, seq) SELECT value ->> 'k', $node, $seq FROM json_each($rows) WHERE true
ON CONFLICT (key_id, node) DO UPDATE SET seq = excluded.seq`,

	feedNow:  `SELECT COALESCE(MAX(n), 0), '' FROM {history}`,
	feedNext: `SELECT n, key_id, alias FROM {history} WHERE n > $n ORDER BY n LIMIT $number`,

	pruneHours: `
DELETE FROM {hours} WHERE (key_id, hour) IN (SELECT key_id, hour FROM {hours} WHERE hour < $at ORDER BY hour LIMIT $number)`,
	pruneMarks: `
DELETE FROM {marks} WHERE node = $node AND key_id IN (SELECT key_id FROM {marks} WHERE node = $node LIMIT $number)`,
}

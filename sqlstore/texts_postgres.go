package sqlstore

var postgresTexts = texts{ //nolint:gosec // no credentials: a secret is known here by its number
	schema: [][]string{{
		`CREATE TABLE {schema} (version INTEGER PRIMARY KEY, done SMALLINT NOT NULL)`,
		`INSERT INTO {schema} (version, done) VALUES (1, 0)`,
		`CREATE TABLE {names} (name TEXT COLLATE "C" PRIMARY KEY, key_id TEXT COLLATE "C" NOT NULL)`,
		`CREATE TABLE {owners} (owner TEXT COLLATE "C" PRIMARY KEY, locks BIGINT NOT NULL)`,
		`CREATE TABLE {keys} (
	id TEXT COLLATE "C" PRIMARY KEY,
	alias TEXT COLLATE "C",
	owner TEXT COLLATE "C" NOT NULL,
	created_at BIGINT NOT NULL,
	version BIGINT NOT NULL,
	environment TEXT COLLATE "C" NOT NULL,
	revoked_at BIGINT NOT NULL,
	held_at BIGINT NOT NULL,
	disabled_at BIGINT NOT NULL,
	expires_at BIGINT NOT NULL,
	not_before BIGINT NOT NULL,
	rotated_at BIGINT NOT NULL,
	search BYTEA NOT NULL,
	record BYTEA NOT NULL
)`,
		`CREATE UNIQUE INDEX {keys}_alias ON {keys} (alias) WHERE alias IS NOT NULL`,
		`CREATE INDEX {keys}_owner ON {keys} (owner, created_at, id)`,
		`CREATE INDEX {keys}_created ON {keys} (created_at, id)`,
		`CREATE TABLE {usage} (
	key_id TEXT COLLATE "C" PRIMARY KEY,
	requests BIGINT NOT NULL,
	limited BIGINT NOT NULL,
	denied BIGINT NOT NULL,
	last_used BIGINT NOT NULL,
	refused_at BIGINT NOT NULL,
	refused_peer TEXT NOT NULL,
	refused_reason TEXT NOT NULL
)`,
		`CREATE TABLE {hours} (
	key_id TEXT COLLATE "C" NOT NULL,
	hour BIGINT NOT NULL,
	requests BIGINT NOT NULL,
	limited BIGINT NOT NULL,
	denied BIGINT NOT NULL,
	PRIMARY KEY (key_id, hour)
)`,
		`CREATE INDEX {hours}_hour ON {hours} (hour)`,
		`CREATE TABLE {last_use} (
	key_id TEXT COLLATE "C" NOT NULL, secret BIGINT NOT NULL, last_used BIGINT NOT NULL, PRIMARY KEY (key_id, secret)
)`,
		`CREATE TABLE {nodes} (node TEXT COLLATE "C" PRIMARY KEY, seen_at BIGINT NOT NULL)`,
		`CREATE TABLE {marks} (
	key_id TEXT COLLATE "C" NOT NULL, node TEXT COLLATE "C" NOT NULL, seq BIGINT NOT NULL, PRIMARY KEY (key_id, node)
)`,
		`CREATE INDEX {marks}_node ON {marks} (node, key_id)`,
		`CREATE TABLE {history} (
	n BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	xid XID8 NOT NULL DEFAULT pg_current_xact_id(),
	owner TEXT COLLATE "C" NOT NULL,
	key_id TEXT COLLATE "C" NOT NULL,
	alias TEXT COLLATE "C" NOT NULL,
	at BIGINT NOT NULL,
	entry TEXT NOT NULL
)`,
		`CREATE INDEX {history}_xid ON {history} (xid)`,
		`CREATE INDEX {history}_owner ON {history} (owner, n)`,
		`CREATE INDEX {history}_key ON {history} (key_id, n)`,
		`UPDATE {schema} SET done = 1 WHERE version = 1`,
	}},
	tables: `SELECT name FROM unnest(ARRAY[{table_names}]) AS name WHERE to_regclass(name) IS NOT NULL`,

	// The planner takes a subquery for a hundred rows or more, for which it reads
	// all of a small table; an array, for ten.
	inIDs:   `= ANY (ARRAY(SELECT json_array_elements_text($ids::json)))`,
	hasText: `position($search IN k.search) > 0`,
	// Said so, and sorted by owner too, the owner's index alone will do. With
	// k.owner = $owner the planner would, for an owner with many keys, walk
	// through everybody's in the hope of meeting theirs: all of them, where the
	// owner's are the oldest.
	ofOwner: `k.owner >= $owner AND (k.owner, k.created_at, k.id) < ($owner, $created, $id)`,
	partOfOwner: `(k.owner, k.created_at, k.id) >= ($owner, $end_created, $end_id)
	AND (k.owner, k.created_at, k.id) < ($owner, $created, $id)`,
	byOwner: `k.owner DESC, `,

	// The row of the owner is locked by a statement before the one that counts:
	// each sees what was committed when it began. A transaction of the host's
	// that sees what was there when it began cannot count.
	lockOwner: `
INSERT INTO {owners} AS o (owner, locks) VALUES ($owner, 1) ON CONFLICT (owner) DO UPDATE SET locks = o.locks + 1
RETURNING CASE WHEN current_setting('transaction_isolation') = 'read committed' THEN 1 ELSE 0 END`,
	create: `
WITH live AS (
	SELECT COUNT(*) AS n FROM (SELECT 1 FROM {keys}
		WHERE owner = $owner AND revoked_at = 0 AND (expires_at = 0 OR expires_at > $at) LIMIT $most) x
), named AS (
	INSERT INTO {names} (name, key_id) SELECT $id, $id UNION SELECT $alias, $id WHERE $alias <> ''
	ON CONFLICT DO NOTHING RETURNING 1
), made AS (
	INSERT INTO {keys} (id, alias, owner, created_at, version, environment, revoked_at, held_at, disabled_at, expires_at,
		not_before, rotated_at, search, record)
	SELECT $id, NULLIF($alias, ''), $owner, $created, $version, $environment, $revoked_at, $held_at, $disabled_at, $expires_at,
		$not_before, $rotated_at, $search, $record
	FROM live WHERE (SELECT COUNT(*) FROM named) = $names AND ($max < 0 OR live.n < $max) RETURNING 1
), told AS (
	INSERT INTO {history} (owner, key_id, alias, at, entry)
	SELECT $change_owner, $change_key, $alias, $change_at, $entry FROM made RETURNING 1
)
SELECT (SELECT COUNT(*) FROM named), (SELECT COUNT(*) FROM told),
	CASE WHEN $channel = '' THEN NULL ELSE pg_notify($channel, '') END`,
	update: `
WITH live AS (
	SELECT COUNT(*) AS n FROM (SELECT 1 FROM {keys}
		WHERE owner = $owner AND id <> $id AND revoked_at = 0 AND (expires_at = 0 OR expires_at > $at) LIMIT $most) x
), made AS (
	UPDATE {keys} SET version = $version, environment = $environment, revoked_at = $revoked_at, held_at = $held_at,
		disabled_at = $disabled_at, expires_at = $expires_at, not_before = $not_before, rotated_at = $rotated_at,
		search = $search, record = $record
	WHERE id = $id AND version = $version - 1 AND owner = $owner AND created_at = $created AND COALESCE(alias, '') = $alias
		AND ($max < 0 OR (SELECT n FROM live) < $max) RETURNING 1
), told AS (
	INSERT INTO {history} (owner, key_id, alias, at, entry)
	SELECT $change_owner, $change_key, $alias, $change_at, $entry FROM made RETURNING 1
)
SELECT (SELECT COUNT(*) FROM told), CASE WHEN $channel = '' THEN NULL ELSE pg_notify($channel, '') END`,
	stored: `SELECT version, owner, created_at, COALESCE(alias, '') FROM {keys} WHERE id = $id FOR UPDATE`,
	insertHistory: `
WITH told AS (
	INSERT INTO {history} (owner, key_id, alias, at, entry) VALUES ($change_owner, $change_key, $alias, $change_at, $entry)
)
SELECT CASE WHEN $channel = '' THEN NULL ELSE pg_notify($channel, '') END`,

	lockNode: `
INSERT INTO {nodes} AS n (node, seen_at) VALUES ($node, $seen)
ON CONFLICT (node) DO UPDATE SET seen_at = GREATEST(n.seen_at, excluded.seen_at)`,
	// A key that is locked so can be updated meanwhile, but not deleted.
	usable: `
SELECT k.id, COALESCE(m.seq, 0) FROM {keys} k LEFT JOIN {marks} m ON m.key_id = k.id AND m.node = $node
WHERE k.id IN (SELECT json_array_elements_text($ids::json)) ORDER BY k.id FOR KEY SHARE OF k`,
	addUsage: `
INSERT INTO {usage} AS u (key_id, requests, limited, denied, last_used, refused_at, refused_peer, refused_reason)
SELECT k, r, l, d, u, t, p, w FROM json_to_recordset($rows::json)
	AS j (k TEXT, r BIGINT, l BIGINT, d BIGINT, u BIGINT, t BIGINT, p TEXT, w TEXT)
ON CONFLICT (key_id) DO UPDATE SET requests = u.requests + excluded.requests, limited = u.limited + excluded.limited,
	denied = u.denied + excluded.denied, last_used = GREATEST(u.last_used, excluded.last_used),
	refused_peer = CASE WHEN excluded.refused_at > u.refused_at THEN excluded.refused_peer ELSE u.refused_peer END,
	refused_reason = CASE WHEN excluded.refused_at > u.refused_at THEN excluded.refused_reason ELSE u.refused_reason END,
	refused_at = GREATEST(u.refused_at, excluded.refused_at)`,
	addHours: `
INSERT INTO {hours} AS h (key_id, hour, requests, limited, denied)
SELECT k, h, r, l, d FROM json_to_recordset($rows::json) AS j (k TEXT, h BIGINT, r BIGINT, l BIGINT, d BIGINT)
ON CONFLICT (key_id, hour) DO UPDATE SET requests = h.requests + excluded.requests, limited = h.limited + excluded.limited,
	denied = h.denied + excluded.denied`,
	addSecrets: `
INSERT INTO {last_use} AS s (key_id, secret, last_used)
SELECT k, s, u FROM json_to_recordset($rows::json) AS j (k TEXT, s BIGINT, u BIGINT)
ON CONFLICT (key_id, secret) DO UPDATE SET last_used = GREATEST(s.last_used, excluded.last_used)`,
	addMarks: `
INSERT INTO {marks} (key_id, node, seq) SELECT k, $node, $seq FROM json_to_recordset($rows::json) AS j (k TEXT)
ON CONFLICT (key_id, node) DO UPDATE SET seq = excluded.seq`,

	feedNow: `SELECT pg_current_snapshot()::text, pg_postmaster_start_time()::text`,
	// What was committed since the snapshot, however long ago it was numbered.
	// The third condition leaves out transaction numbers of another server, which
	// a restored dump brings along.
	feedNext: `
SELECT pg_current_snapshot()::text, pg_postmaster_start_time()::text, COALESCE(h.key_id, ''), COALESCE(h.alias, '')
FROM (SELECT 1) one LEFT JOIN LATERAL (
	SELECT key_id, alias FROM {history}
	WHERE xid >= pg_snapshot_xmin($snapshot::pg_snapshot) AND NOT pg_visible_in_snapshot(xid, $snapshot::pg_snapshot)
		AND pg_visible_in_snapshot(xid, pg_current_snapshot())
	LIMIT $number
) h ON true`,

	pruneHours: `
DELETE FROM {hours} WHERE (key_id, hour) IN (SELECT key_id, hour FROM {hours} WHERE hour < $at ORDER BY hour LIMIT $number)`,
	pruneMarks: `
DELETE FROM {marks} WHERE node = $node AND key_id IN (SELECT key_id FROM {marks} WHERE node = $node LIMIT $number)`,
}

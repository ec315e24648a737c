package sqlstore

var postgresTexts = texts{
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
		`CREATE INDEX {keys}_live ON {keys} ((owner || ''), expires_at) WHERE revoked_at = 0`,
		`CREATE INDEX {keys}_due ON {keys} (rotated_at) WHERE revoked_at = 0`,
		`CREATE TABLE {usage} (
	key_id TEXT COLLATE "C" NOT NULL,
	secret BIGINT NOT NULL,
	requests BIGINT NOT NULL,
	limited BIGINT NOT NULL,
	denied BIGINT NOT NULL,
	last_used BIGINT NOT NULL,
	refused_at BIGINT NOT NULL,
	refused_peer TEXT NOT NULL,
	refused_reason TEXT NOT NULL,
	PRIMARY KEY (key_id, secret)
) WITH (fillfactor = 80)`,
		`CREATE TABLE {hours} (
	key_id TEXT COLLATE "C" NOT NULL,
	hour BIGINT NOT NULL,
	requests BIGINT NOT NULL,
	limited BIGINT NOT NULL,
	denied BIGINT NOT NULL,
	PRIMARY KEY (key_id, hour)
) WITH (fillfactor = 80)`,
		`CREATE INDEX {hours}_hour ON {hours} (hour)`,
		`CREATE TABLE {nodes} (node TEXT COLLATE "C" PRIMARY KEY, seen_at BIGINT NOT NULL)`,
		`CREATE TABLE {batches} (
	node TEXT COLLATE "C" NOT NULL, slot BIGINT NOT NULL, seq BIGINT NOT NULL, key_ids TEXT NOT NULL, PRIMARY KEY (node, slot)
)`,
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
	// An expression of its own, so that no other index will do: the owner's would
	// be taken for its order, and all of their dead keys read.
	neverExpire: `owner || '' >= $owner AND (owner || '', expires_at) <= ($owner, 0) AND expires_at >= 0`,
	expireLater: `owner || '' >= $owner AND owner || '' <= $owner AND (owner || '', expires_at) > ($owner, GREATEST($at, 0))`,
	byExpiry:    `ORDER BY owner || '', expires_at`,
	ofHistory:   `{column} >= {argument} AND ({column}, n) < ({argument}, $before)`,
	byHistory:   `{column} DESC, `,

	// The row of the owner is locked by a statement before the one that counts:
	// each sees what was committed when it began. A transaction of the host's
	// that sees what was there when it began cannot count.
	lockOwner: `
INSERT INTO {owners} AS o (owner, locks) VALUES ($owner, 1) ON CONFLICT (owner) DO UPDATE SET locks = o.locks + 1
RETURNING CASE WHEN current_setting('transaction_isolation') = 'read committed' THEN 1 ELSE 0 END`,
	create: `
WITH live AS (SELECT {live_keys} AS n
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
WITH live AS (SELECT {live_keys} AS n
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
	// It locks nothing: whoever asks for the lock of a row that a flush shares,
	// while another change of the row is being committed, meets a deadlock.
	stored:  storedText,
	lockKey: storedText + ` FOR NO KEY UPDATE`, // for the same reason: the deletion asks for the rest, when no change can come between
	insertHistory: `
WITH told AS (
	INSERT INTO {history} (owner, key_id, alias, at, entry) VALUES ($change_owner, $change_key, $alias, $change_at, $entry)
)
SELECT CASE WHEN $channel = '' THEN NULL ELSE pg_notify($channel, '') END`,

	lockNode: `
INSERT INTO {nodes} AS n (node, seen_at) VALUES ($node, $seen)
ON CONFLICT (node) DO UPDATE SET seen_at = GREATEST(n.seen_at, excluded.seen_at)`,
	hadBatches: hadBatches + ` FOR UPDATE`,
	// A key that is locked so can be updated meanwhile, but not deleted.
	usable: `SELECT k.id FROM {keys} k WHERE k.id {in_ids} ORDER BY k.id FOR KEY SHARE`,
	addUsage: `
INSERT INTO {usage} AS u (key_id, secret, requests, limited, denied, last_used, refused_at, refused_peer, refused_reason)
SELECT k, s, r, l, d, t, 0, '', ''
FROM unnest($keys::text[], $secrets::bigint[], $requests::bigint[], $limited::bigint[], $denied::bigint[], $used::bigint[]) AS j (k, s, r, l, d, t)
ON CONFLICT (key_id, secret) DO UPDATE SET requests = u.requests + excluded.requests, limited = u.limited + excluded.limited,
	denied = u.denied + excluded.denied, last_used = GREATEST(u.last_used, excluded.last_used)`,
	addRefusals: `
UPDATE {usage} u SET refused_at = j.t, refused_peer = j.p, refused_reason = j.w
FROM unnest($keys::text[], $secrets::bigint[], $times::bigint[], $peers::text[], $reasons::text[]) AS j (k, s, t, p, w)
WHERE u.key_id = j.k AND u.secret = j.s AND u.refused_at < j.t`,
	addHours: `
INSERT INTO {hours} AS h (key_id, hour, requests, limited, denied)
SELECT * FROM unnest($keys::text[], $hours::bigint[], $requests::bigint[], $limited::bigint[], $denied::bigint[])
ON CONFLICT (key_id, hour) DO UPDATE SET requests = h.requests + excluded.requests, limited = h.limited + excluded.limited,
	denied = h.denied + excluded.denied`,
	keepBatch: `
INSERT INTO {batches} (node, slot, seq, key_ids) VALUES ($node, $slot, $seq, $key_ids)
ON CONFLICT (node, slot) DO UPDATE SET seq = excluded.seq, key_ids = excluded.key_ids`,

	feedNow: `SELECT pg_current_snapshot()::text, pg_postmaster_start_time()::text`,
	// What was committed since the snapshot, however long ago it was numbered.
	// The last two conditions leave out transaction numbers of another server, which
	// a restored dump brings along: far above ours, mostly, so that without a bound
	// for the index each poll would read them all.
	feedNext: `
SELECT pg_current_snapshot()::text, pg_postmaster_start_time()::text, COALESCE(h.key_id, ''), COALESCE(h.alias, '')
FROM (SELECT 1) one LEFT JOIN LATERAL (
	SELECT key_id, alias FROM {history}
	WHERE xid >= pg_snapshot_xmin($snapshot::pg_snapshot) AND NOT pg_visible_in_snapshot(xid, $snapshot::pg_snapshot)
		AND xid < pg_snapshot_xmax(pg_current_snapshot()) AND pg_visible_in_snapshot(xid, pg_current_snapshot())
	LIMIT $number
) h ON true`,

	pruneHours: `
DELETE FROM {hours} WHERE (key_id, hour) IN (SELECT key_id, hour FROM {hours} WHERE hour < $at ORDER BY hour LIMIT $number)`,
}

package sqlstore

var mysqlTexts = texts{
	schema: [][]string{{
		`CREATE TABLE {schema} (version INT PRIMARY KEY, done SMALLINT NOT NULL) ENGINE = InnoDB`,
		`INSERT INTO {schema} (version, done) VALUES (1, 0)`,
		`CREATE TABLE {names} (name VARBINARY(512) PRIMARY KEY, key_id VARBINARY(32) NOT NULL) ENGINE = InnoDB`,
		`CREATE TABLE {owners} (owner VARBINARY(255) PRIMARY KEY, locks BIGINT NOT NULL) ENGINE = InnoDB`,
		`CREATE TABLE {keys} (
	id VARBINARY(32) PRIMARY KEY,
	alias VARBINARY(512),
	owner VARBINARY(255) NOT NULL,
	created_at BIGINT NOT NULL,
	version BIGINT NOT NULL,
	environment VARBINARY(255) NOT NULL,
	revoked_at BIGINT NOT NULL,
	held_at BIGINT NOT NULL,
	disabled_at BIGINT NOT NULL,
	expires_at BIGINT NOT NULL,
	not_before BIGINT NOT NULL,
	rotated_at BIGINT NOT NULL,
	search MEDIUMBLOB NOT NULL,
	record MEDIUMBLOB NOT NULL,
	UNIQUE KEY {keys}_alias (alias),
	KEY {keys}_owner (owner, created_at, id),
	KEY {keys}_created (created_at, id),
	KEY {keys}_live (owner, revoked_at, expires_at),
	KEY {keys}_due (revoked_at, rotated_at)
) ENGINE = InnoDB`,
		`CREATE TABLE {usage} (
	key_id VARBINARY(32) NOT NULL,
	secret BIGINT NOT NULL,
	requests BIGINT NOT NULL,
	limited BIGINT NOT NULL,
	denied BIGINT NOT NULL,
	last_used BIGINT NOT NULL,
	refused_at BIGINT NOT NULL,
	refused_peer VARBINARY(255) NOT NULL,
	refused_reason VARBINARY(255) NOT NULL,
	PRIMARY KEY (key_id, secret)
) ENGINE = InnoDB`,
		`CREATE TABLE {hours} (
	key_id VARBINARY(32) NOT NULL,
	hour BIGINT NOT NULL,
	requests BIGINT NOT NULL,
	limited BIGINT NOT NULL,
	denied BIGINT NOT NULL,
	PRIMARY KEY (key_id, hour),
	KEY {hours}_hour (hour)
) ENGINE = InnoDB`,
		`CREATE TABLE {nodes} (node VARBINARY(255) PRIMARY KEY, seen_at BIGINT NOT NULL) ENGINE = InnoDB`,
		`CREATE TABLE {batches} (
	node VARBINARY(255) NOT NULL, slot BIGINT NOT NULL, seq BIGINT NOT NULL, key_ids MEDIUMBLOB NOT NULL, PRIMARY KEY (node, slot)
) ENGINE = InnoDB`,
		`CREATE TABLE {history} (
	n BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
	owner VARBINARY(255) NOT NULL,
	key_id VARBINARY(32) NOT NULL,
	alias VARBINARY(512) NOT NULL,
	at BIGINT NOT NULL,
	entry MEDIUMBLOB NOT NULL,
	KEY {history}_owner (owner, n),
	KEY {history}_key (key_id, n)
) ENGINE = InnoDB`,
		`UPDATE {schema} SET done = 1 WHERE version = 1`,
	}},
	tables: `SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name IN ({table_names})`,

	inIDs:   `IN (SELECT CAST(id AS BINARY) FROM JSON_TABLE($ids, '$[*]' COLUMNS (id VARCHAR(32) PATH '$')) j)`,
	hasText: `INSTR(k.search, $search) > 0`,
	// With k.owner = $owner it would read all of the owner's keys to find a place
	// among them, and sorted by time alone, everybody's; said so, it has no other
	// way but to read a range of the owner's index.
	ofOwner:     `k.owner >= $owner AND k.owner <= $owner AND {after}`,
	partOfOwner: `k.owner >= $owner AND k.owner <= $owner AND {after} AND {until}`,
	byOwner:     `k.owner DESC, `,
	neverExpire: neverExpire,
	expireLater: expireLater,
	ofHistory:   `{column} >= {argument} AND {column} <= {argument} AND n < $before`,
	byHistory:   `{column} DESC, `,

	lockOwner: `INSERT INTO {owners} (owner, locks) VALUES ($owner, 1) ON DUPLICATE KEY UPDATE locks = locks + 1`,
	// Arguments are text, which the connection's collation would compare: it takes
	// a space for nothing.
	takeNames: `
INSERT INTO {names} (name, key_id)
SELECT CAST($id AS BINARY), CAST($id AS BINARY) FROM DUAL
UNION ALL SELECT CAST($alias AS BINARY), CAST($id AS BINARY) FROM DUAL WHERE CAST($alias AS BINARY) NOT IN ('', CAST($id AS BINARY))`,
	insertKey: `
INSERT INTO {keys} (id, alias, owner, created_at, version, environment, revoked_at, held_at, disabled_at, expires_at,
	not_before, rotated_at, search, record)
SELECT $id, NULLIF(CAST($alias AS BINARY), ''), $owner, $created, $version, $environment, $revoked_at, $held_at, $disabled_at, $expires_at,
	$not_before, $rotated_at, $search, $record
FROM (SELECT {live_keys} AS n) live
WHERE $max < 0 OR live.n < $max`,
	update:        updateKey,
	stored:        storedText + ` FOR UPDATE`, // else it is as old as a transaction of the host's
	lockKey:       storedText + ` FOR UPDATE`,
	insertHistory: insertChange,

	lockNode: `
INSERT INTO {nodes} (node, seen_at) VALUES ($node, $seen) ON DUPLICATE KEY UPDATE seen_at = GREATEST(seen_at, VALUES(seen_at))`,
	hadBatches: hadBatches + ` FOR UPDATE`,
	usable: `
SELECT k.id FROM JSON_TABLE($ids, '$[*]' COLUMNS (id VARCHAR(32) PATH '$')) j STRAIGHT_JOIN {keys} k ON k.id = CAST(j.id AS BINARY)
LOCK IN SHARE MODE`,
	addUsage: `
INSERT INTO {usage} (key_id, secret, requests, limited, denied, last_used, refused_at, refused_peer, refused_reason)
SELECT j.k, j.s, j.r, j.l, j.d, j.t, 0, '', ''
FROM JSON_TABLE($rows, '$[*]' COLUMNS (k VARCHAR(32) PATH '$[0]', s BIGINT PATH '$[1]', r BIGINT PATH '$[2]', l BIGINT PATH '$[3]',
	d BIGINT PATH '$[4]', t BIGINT PATH '$[5]')) j
ON DUPLICATE KEY UPDATE requests = requests + VALUES(requests), limited = limited + VALUES(limited),
	denied = denied + VALUES(denied), last_used = GREATEST(last_used, VALUES(last_used))`,
	// The time, by which the others go, is set last.
	addRefusals: `
UPDATE JSON_TABLE($rows, '$[*]' COLUMNS (k VARCHAR(32) PATH '$[0]', s BIGINT PATH '$[1]', t BIGINT PATH '$[2]',
	p VARCHAR(255) PATH '$[3]', w VARCHAR(255) PATH '$[4]')) j
	STRAIGHT_JOIN {usage} u ON u.key_id = CAST(j.k AS BINARY) AND u.secret = j.s
SET u.refused_peer = j.p, u.refused_reason = j.w, u.refused_at = j.t
WHERE u.refused_at < j.t`,
	addHours: `
INSERT INTO {hours} (key_id, hour, requests, limited, denied)
SELECT j.k, j.h, j.r, j.l, j.d
FROM JSON_TABLE($rows, '$[*]' COLUMNS (k VARCHAR(32) PATH '$[0]', h BIGINT PATH '$[1]', r BIGINT PATH '$[2]', l BIGINT PATH '$[3]',
	d BIGINT PATH '$[4]')) j
ON DUPLICATE KEY UPDATE requests = requests + VALUES(requests), limited = limited + VALUES(limited),
	denied = denied + VALUES(denied)`,
	keepBatch: `
INSERT INTO {batches} (node, slot, seq, key_ids) VALUES ($node, $slot, $seq, $key_ids)
ON DUPLICATE KEY UPDATE seq = VALUES(seq), key_ids = VALUES(key_ids)`,

	feedNow:     `SELECT COALESCE(MAX(n), 0), CONCAT(@@hostname, ':', @@port, ':', @@server_id) FROM {history}`,
	feedNext:    `SELECT n, key_id, alias FROM {history} WHERE n > $n ORDER BY n LIMIT $number`,
	feedPending: `SELECT n, key_id, alias FROM {history} WHERE n IN (SELECT x FROM JSON_TABLE($rows, '$[*]' COLUMNS (x BIGINT PATH '$')) j)`,
	// Fails where one of the rows is locked: somebody has yet to commit it.
	feedInFlight: `
SELECT n FROM {history} WHERE n IN (SELECT x FROM JSON_TABLE($rows, '$[*]' COLUMNS (x BIGINT PATH '$')) j) FOR UPDATE NOWAIT`,

	pruneHours: `DELETE FROM {hours} WHERE hour < $at ORDER BY hour LIMIT $number`,
}

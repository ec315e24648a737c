<?php
// Vectors of what PHP makes: Laravel Sanctum, hash, hash_hmac, password_hash, crypt.
//
//	php make_vectors.php         the vectors, as a JSON array
//	php make_vectors.php check   every bcrypt and argon2 digest of vectors.json, judged by password_verify
//
// Tokens and fixed salts come from text(), so they are the same at each run. password_hash chooses its salt
// itself: a digest of it that vectors.json has already, and that still verifies, is kept.

const ALNUM = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

$old = [];
if (is_file(__DIR__ . '/vectors.json')) {
	foreach (json_decode(file_get_contents(__DIR__ . '/vectors.json'), true) as $v) {
		$old[$v['name']] = $v;
	}
}
if (($argv[1] ?? '') === 'check') {
	exit(check($old));
}

$out = [];
sanctum();
plain();
salted();
hmac();
bcrypt();
argon2();
echo json_encode($out, JSON_PRETTY_PRINT | JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE), "\n";

// text is n alphanumerics that only the label decides.
function text(string $label, int $n): string {
	$s = '';
	for ($i = 0; strlen($s) < $n; $i++) {
		foreach (str_split(hash('sha256', "$label/$i", true)) as $c) {
			if (ord($c) < 248) {
				$s .= ALNUM[ord($c) % 62];
			}
		}
	}
	return substr($s, 0, $n);
}

// add appends a vector; $more holds its salt, hmac_key, or good and why.
function add(string $name, string $token, string $secret, string $hashed, string $stored, string $call, array $more = []): void {
	global $out;
	$by = 'PHP ' . PHP_VERSION . ': ' . $call;
	$out[] = ['name' => $name, 'token' => $token, 'secret' => $secret, 'hashed' => $hashed, 'stored' => $stored]
		+ $more + ['made_by' => $by, 'good' => true];
}

// refuse appends a vector that must not verify. $library: the library itself says yes to it.
function refuse(string $name, string $token, string $secret, string $hashed, string $stored, string $call, string $why, bool $library = false, array $more = []): void {
	add($name, $token, $secret, $hashed, $stored, $call, $more + ['why' => $why, 'library_accepts' => $library, 'good' => false]);
}

// changed is the secret with its last character replaced by its neighbour.
function changed(string $s): string {
	$last = substr($s, -1);
	return substr($s, 0, -1) . ALNUM[(strpos(ALNUM, $last) + 1) % 62];
}

function sanctum(): void {
	$call = "hash('sha256', \$plainTextToken), as HasApiTokens::createToken does; ";
	$old40 = text('sanctum/40', 40);
	add('sanctum/40', "42|$old40", $old40, 'secret', hash('sha256', $old40), $call . 'Sanctum 2.6 to 3.2.5: Str::random(40)');

	$r = text('sanctum/80', 80);
	add('sanctum/80', "7|$r", $r, 'secret', hash('sha256', $r), $call . 'Sanctum 2.3 to 2.5: Str::random(80)');

	$r = text('sanctum/id-20-digits', 40);
	add('sanctum/id-20-digits', "18446744073709551615|$r", $r, 'secret', hash('sha256', $r), $call . 'the longest id of an unsigned bigint');

	$r = text('sanctum/crc32b', 40);
	$crc = $r . hash('crc32b', $r);
	add('sanctum/crc32b', "1287|$crc", $crc, 'secret', hash('sha256', $crc), $call . "Sanctum 3.3 and later: Str::random(40) . hash('crc32b', random)");

	$r = text('sanctum/prefix', 40);
	$p = 'acme_' . $r . hash('crc32b', $r);
	add('sanctum/prefix', "1288|$p", $p, 'secret', hash('sha256', $p), $call . "Sanctum 3.3 and later with sanctum.token_prefix 'acme_'");

	$r = text('sanctum/326', 40);
	$p = 'laravel_sanctum_' . $r . hash('crc32', $r);
	add('sanctum/326', "1100|$p", $p, 'secret', hash('sha256', $p), $call . "Sanctum 3.2.6 alone: prefix laravel_sanctum_ by default, hash('CRC32', random), which is not crc32b");

	$r = text('sanctum/no-id', 80);
	add('sanctum/no-id', $r, '', 'token', hash('sha256', $r), $call . 'Sanctum before 2.3: no id; later ones still take such a token');

	$bad = changed($old40);
	refuse('sanctum/changed', "42|$bad", $bad, 'secret', hash('sha256', $old40), $call, 'the last character of the secret is another');
	refuse('sanctum/other-key', "42|$old40", $old40, 'secret', hash('sha256', $crc), $call, 'the digest of another key');
	refuse('sanctum/whole', "42|$old40", $old40, 'secret', hash('sha256', "42|$old40"), $call, 'a digest of the whole token, where the system hashes the part behind the |');
}

function plain(): void {
	foreach (['sha256', 'sha512'] as $algo) {
		$forms = [
			'hex' => [fn($t) => hash($algo, $t), "hash('$algo', \$token)"],
			'hex-upper' => [fn($t) => strtoupper(hash($algo, $t)), "strtoupper(hash('$algo', \$token))"],
			'base64' => [fn($t) => base64_encode(hash($algo, $t, true)), "base64_encode(hash('$algo', \$token, true))"],
			'base64url' => [fn($t) => rtrim(strtr(base64_encode(hash($algo, $t, true)), '+/', '-_'), '='),
				"rtrim(strtr(base64_encode(hash('$algo', \$token, true)), '+/', '-_'), '=')"],
		];
		foreach ($forms as $form => [$make, $call]) {
			$family = "$algo-$form";
			[$a, $b, $long] = ['fm_' . text("$family/1", 32), 'fm_' . text("$family/2", 32), 'fm_' . text("$family/long", 160)];
			add("$family/1", $a, '', 'token', $make($a), $call);
			add("$family/2", $b, '', 'token', $make($b), $call);
			add("$family/long", $long, '', 'token', $make($long), $call);
			refuse("$family/changed", changed($a), '', 'token', $make($a), $call, 'the last character of the token is another');
			refuse("$family/other-key", $a, '', 'token', $make($b), $call, 'the digest of another key');
		}
	}
	$s = text('sha256-hex/secret', 32);
	add('sha256-hex/secret', "k1042:$s", $s, 'secret', hash('sha256', $s), "hash('sha256', \$secret)");
}

function salted(): void {
	foreach (['sha256', 'sha512'] as $algo) {
		foreach (['before' => "hash('$algo', \$salt . \$token)", 'after' => "hash('$algo', \$token . \$salt)"] as $where => $call) {
			$family = "$algo-hex-salt-$where";
			$make = fn($t, $salt) => hash($algo, $where === 'before' ? $salt . $t : $t . $salt);
			// A column of raw bytes, and a column of hexadecimal text of which the text itself is hashed.
			$bytes = hash('sha256', "$family/salt", true);
			$raw = substr($bytes, 0, 16);
			$hexText = bin2hex(substr($bytes, 16, 8));
			$field = fn($salt) => ['salt' => bin2hex($salt), 'salt_position' => $where];
			[$a, $b, $long] = ['fm_' . text("$family/1", 32), 'fm_' . text("$family/2", 32), 'fm_' . text("$family/long", 120)];
			add("$family/raw", $a, '', 'token', $make($a, $raw), "$call, \$salt of 16 bytes", $field($raw));
			add("$family/text", $b, '', 'token', $make($b, $hexText), "$call, \$salt the text $hexText", $field($hexText));
			add("$family/long", $long, '', 'token', $make($long, $raw), "$call, \$salt of 16 bytes", $field($raw));
			refuse("$family/changed", changed($a), '', 'token', $make($a, $raw), $call, 'the last character of the token is another', false, $field($raw));
			refuse("$family/other-salt", $a, '', 'token', $make($a, $raw), $call, 'the salt of another key', false, $field($hexText));
			refuse("$family/other-side", $a, '', 'token', hash($algo, $where === 'before' ? $a . $raw : $raw . $a), $call, 'salted on the other side', false, $field($raw));
		}
	}
}

function hmac(): void {
	$keys = ['short' => hash('sha256', 'hmac/short', true), 'block' => hash('sha512', 'hmac/block', true),
		'long' => hash('sha512', 'hmac/long', true) . hash('sha512', 'hmac/longer', true)];
	$forms = [
		'hex' => [fn($t, $k) => hash_hmac('sha256', $t, $k), "hash_hmac('sha256', \$token, \$key)"],
		'base64' => [fn($t, $k) => base64_encode(hash_hmac('sha256', $t, $k, true)), "base64_encode(hash_hmac('sha256', \$token, \$key, true))"],
	];
	foreach ($forms as $form => [$make, $call]) {
		$family = "hmac-sha256-$form";
		foreach ($keys as $kind => $key) {
			$t = 'fm_' . text("$family/$kind", $kind === 'long' ? 120 : 32);
			add("$family/$kind-key", $t, '', 'token', $make($t, $key), "$call, key of " . strlen($key) . ' bytes', ['hmac_key' => bin2hex($key)]);
		}
		$s = text("$family/secret", 32);
		add("$family/secret", "k77:$s", $s, 'secret', $make($s, $keys['short']), str_replace('token', 'secret', $call), ['hmac_key' => bin2hex($keys['short'])]);
		$t = 'fm_' . text("$family/short", 32);
		refuse("$family/changed", changed($t), '', 'token', $make($t, $keys['short']), $call, 'the last character of the token is another', false, ['hmac_key' => bin2hex($keys['short'])]);
		refuse("$family/other-hmac-key", $t, '', 'token', $make($t, $keys['short']), $call, 'another HMAC key', false, ['hmac_key' => bin2hex($keys['block'])]);
		refuse("$family/other-key", $t, '', 'token', $make('fm_' . text("$family/other", 32), $keys['short']), $call, 'the digest of another key', false, ['hmac_key' => bin2hex($keys['short'])]);
	}
}

// kept is the digest that vectors.json has by this name if it verifies still, else a new one.
function kept(string $name, string $plain, callable $make): string {
	global $old;
	$had = $old[$name]['stored'] ?? '';
	return $had !== '' && password_verify($plain, $had) ? $had : $make();
}

function bcrypt(): void {
	$php = fn($name, $plain, $cost) => kept($name, $plain, fn() => password_hash($plain, PASSWORD_BCRYPT, ['cost' => $cost]));
	$call = fn($cost) => "password_hash(\$token, PASSWORD_BCRYPT, ['cost' => $cost])";

	$a = 'fm_' . text('bcrypt/php-2y-10', 32);
	add('bcrypt/php-2y-10', $a, '', 'token', $hash = $php('bcrypt/php-2y-10', $a, 10), $call(10));
	$s = text('bcrypt/php-2y-12', 40);
	add('bcrypt/php-2y-12', "k1042:$s", $s, 'secret', $php('bcrypt/php-2y-12', $s, 12), str_replace('token', 'secret', $call(12)));
	refuse('bcrypt/php-changed', changed($a), '', 'token', $hash, $call(10), 'the last character of the token is another');

	$t = 'fm_' . text('bcrypt/php-72', 69);
	add('bcrypt/php-72', $t, '', 'token', $hash72 = $php('bcrypt/php-72', $t, 10), $call(10) . ', token of exactly 72 bytes');
	refuse('bcrypt/php-73', $t . 'x', '', 'token', $hash72, $call(10), '73 bytes, the first 72 those of bcrypt/php-72: PHP cuts, we refuse', true);
	refuse('bcrypt/php-71', substr($t, 0, 71), '', 'token', $hash72, $call(10), 'one byte short');
	$t = 'fm_' . text('bcrypt/php-100', 97);
	refuse('bcrypt/php-100', $t, '', 'token', $php('bcrypt/php-100', $t, 10), $call(10), 'a token of 100 bytes, hashed as such: PHP cuts at 72, we refuse', true);

	$t = 'fm_' . text('bcrypt/php-2a-10', 32);
	add('bcrypt/php-2a-10', $t, '', 'token', crypt($t, '$2a$10$' . text('bcrypt/php-2a-salt', 21) . 'e'), 'crypt($token, \'$2a$10$\' . salt)');
	$t = 'fm_' . text('bcrypt/php-13', 32);
	refuse('bcrypt/php-2y-13', $t, '', 'token', $php('bcrypt/php-2y-13', $t, 13), $call(13), 'cost above the bound', true);
}

function argon2(): void {
	if (!defined('PASSWORD_ARGON2ID')) {
		return;
	}
	$make = fn($name, $plain, $algo, $o) => kept($name, $plain, fn() => password_hash($plain, $algo, $o));
	$t = 'fm_' . text('argon2id/php-defaults', 32);
	add('argon2id/php-defaults', $t, '', 'token', $make('argon2id/php-defaults', $t, PASSWORD_ARGON2ID, []), 'password_hash($token, PASSWORD_ARGON2ID): m=65536,t=4,p=1, exactly at the bound');
	$s = text('argon2id/php-long', 130);
	$o = ['memory_cost' => 19456, 'time_cost' => 2, 'threads' => 1];
	add('argon2id/php-long', "k9:$s", $s, 'secret', $hash = $make('argon2id/php-long', $s, PASSWORD_ARGON2ID, $o), "password_hash(\$secret, PASSWORD_ARGON2ID, ['memory_cost' => 19456, 'time_cost' => 2, 'threads' => 1])");
	$bad = changed($s);
	refuse('argon2id/php-changed', "k9:$bad", $bad, 'secret', $hash, 'password_hash', 'the last character of the secret is another');
	$o = ['memory_cost' => 65536, 'time_cost' => 5, 'threads' => 1];
	refuse('argon2id/php-t5', $t, '', 'token', $make('argon2id/php-t5', $t, PASSWORD_ARGON2ID, $o), "password_hash(\$token, PASSWORD_ARGON2ID, ['memory_cost' => 65536, 'time_cost' => 5, 'threads' => 1])", 'passes above the bound', true);
	$o = ['memory_cost' => 4096, 'time_cost' => 1, 'threads' => 1];
	refuse('argon2id/php-argon2i', $t, '', 'token', $make('argon2id/php-argon2i', $t, PASSWORD_ARGON2I, $o), "password_hash(\$token, PASSWORD_ARGON2I, ['memory_cost' => 4096, 'time_cost' => 1, 'threads' => 1])", 'argon2i, not argon2id', true);
}

// check asks password_verify about every digest that it can read, whoever made it.
function check(array $vectors): int {
	$n = $wrong = 0;
	foreach ($vectors as $v) {
		if (!preg_match('/^\$(2[aby]|argon2id?)\$/', $v['stored'])) {
			continue;
		}
		$plain = $v['hashed'] === 'token' ? $v['token'] : $v['secret'];
		$n++;
		if (password_verify($plain, $v['stored']) !== ($v['good'] || ($v['library_accepts'] ?? false))) {
			fwrite(STDERR, "{$v['name']}: password_verify disagrees\n");
			$wrong++;
		}
	}
	echo "password_verify: $n judged, $wrong disagree\n";
	return $wrong > 0 ? 1 : 0;
}

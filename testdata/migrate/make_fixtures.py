"""Writes the fixtures of this folder: a few keys of four other systems, laid out as their databases have them.

    python3 make_fixtures.py

Debian's python3 and python3-django. Every token, salt and date is fixed, so a second run writes the same files.
"""
import base64
import csv
import hashlib
import json
import pathlib
import string
import zlib

from django.conf import settings

settings.configure()

from django.contrib.auth.hashers import make_password  # noqa: E402

HERE = pathlib.Path(__file__).parent
ALNUM = string.digits + string.ascii_uppercase + string.ascii_lowercase
BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
STRANGE = 'Zoë\'s "phone", büro 東京'
tokens = []


def data(label, n):
    """n bytes that only the label decides."""
    return hashlib.shake_256(("migrate/" + label).encode()).digest(n)


def text(label, n):
    return "".join(ALNUM[c % 62] for c in data(label, 4 * n) if c < 248)[:n]


def base58(b):
    n, s = int.from_bytes(b, "big"), ""
    while n:
        n, r = divmod(n, 58)
        s = BASE58[r] + s
    return "1" * (len(b) - len(b.lstrip(b"\0"))) + s


def sha256(s):
    return hashlib.sha256(s.encode())


def write(name, header, rows):
    """NULL is an empty field, as psql's \\copy … csv has it."""
    with open(HERE / name, "w", newline="", encoding="utf-8") as f:
        w = csv.writer(f, lineterminator="\n")
        w.writerow(header)
        w.writerows(rows)


def token(file, key, value, state):
    """Notes the token of one row and whether its own system accepts it."""
    tokens.append((file, key, value, state))


def sanctum():
    def secret(label, prefix="", crc=True):
        r = text("sanctum/" + label, 40)
        return prefix + r + ("%08x" % zlib.crc32(r.encode()) if crc else "")

    user, team = r"App\Models\User", r"App\Models\Team"
    rows = [
        (17, user, 42, "Production", secret("17", crc=False), ["*"], "2025-11-02 08:30:11", None, "2023-02-14 10:00:00", "2025-11-02 08:30:11", "live"),
        (18, user, 42, "CI", secret("18"), ["server:update", "servers:read"], None, "2099-12-31 23:59:59", "2025-06-01 07:45:00", "2025-06-01 07:45:00", "live"),
        (21, user, 7, "Trial", secret("21"), ["orders:read"], "2025-01-30 12:00:00", "2025-01-31 00:00:00", "2025-01-01 00:00:00", "2025-01-30 12:00:00", "expired"),
        (104, team, 7, STRANGE, secret("104", "acme_"), ["Read Reports", "orders.create"], "2025-10-10 10:10:10", None, "2024-05-05 05:05:05", "2025-10-10 10:10:10", "live"),
        (105, team, 9, "No abilities", secret("105"), [], None, None, "2025-09-01 00:00:00", "2025-09-01 00:00:00", "live"),
    ]
    out = []
    for (key, kind, owner, name, plain, abilities, used, expires, created, updated, state) in rows:
        out.append((key, kind, owner, name, sha256(plain).hexdigest(), json.dumps(abilities, separators=(",", ":")), used, expires, created, updated))
        token("sanctum.csv", key, "%d|%s" % (key, plain), state)
    write("sanctum.csv", "id tokenable_type tokenable_id name token abilities last_used_at expires_at created_at updated_at".split(), out)


def drf():
    def v3(key):
        return "sha512$$" + hashlib.sha512(key.encode()).hexdigest()

    def v2(key):
        return make_password(key, salt=text("drf/salt" + key, 22))

    rows = [
        ("live", v3, v3, "Warehouse", "2024-03-01 09:15:00.078281+00", "f", None, "live"),
        ("revoked", v3, v3, "Old partner", "2023-11-11 11:11:11.111111+00", "t", None, "revoked"),
        ("expired", v3, v3, "Trial", "2024-01-01 00:00:00+00", "f", "2024-02-01 00:00:00+00", "expired"),
        ("strange", v3, v3, STRANGE, "2025-04-04 10:38:35.5+00", "f", "2099-12-31 23:00:00+00", "live"),
        ("v2", v2, v2, "Made by version 2, unused since", "2022-06-30 16:20:00.000001+00", "f", None, "live"),
        ("upgraded", v2, v3, "Made by version 2, used since", "2022-07-01 08:00:00.25+00", "f", None, "live"),
    ]
    out = []
    for (label, first, now, name, created, revoked, expiry, state) in rows:
        prefix = text("drf/prefix/" + label, 8)
        key = prefix + "." + text("drf/secret/" + label, 32)
        out.append((prefix + "." + first(key), created, name, revoked, expiry, now(key), prefix))
        token("drf.csv", prefix, key, state)
    write("drf.csv", "id created name revoked expiry_date hashed_key prefix".split(), out)


def plain_sha256():
    rows = [
        (1, "acct_42", "Production", "2023-08-15 12:00:00+00", "2025-11-20 23:59:59.123456+00", None, "live"),
        (2, "acct_42", "Before the leak", "2023-01-10 08:00:00+00", "2023-08-15 11:58:00+00", "2023-08-15 12:05:00+00", "revoked"),
        (3, "acct_7", "Never used", "2025-10-01 00:00:00+00", None, None, "live"),
        (4, "acct_7", STRANGE, "2024-12-24 18:00:00+00", "2025-02-28 07:07:07+00", None, "live"),
        (5, "acct_9", None, "2022-02-22 22:22:22+00", "2022-02-23 00:00:00+00", None, "live"),
    ]
    out = []
    for (key, user, name, created, used, revoked, state) in rows:
        plain = "fm_live_" + text("sha256/%d" % key, 32)
        out.append((key, user, name, sha256(plain).hexdigest(), plain[:12], created, used, revoked))
        token("sha256.csv", key, plain, state)
    write("sha256.csv", "id user_id name key_hash prefix created_at last_used_at revoked_at".split(), out)


UNKEY = """id key_auth_id hash start workspace_id for_workspace_id name identity_id external_id meta expires created_at_m updated_at_m
deleted_at_m refill_day refill_amount last_refill_at enabled remaining_requests environment last_used_at pending_migration_id roles
permissions ratelimits""".split()


def unkey_id(kind, label):
    return kind + "_" + base58(data("unkey/" + kind + label, 12))[:16]


def unkey():
    limit = {"id": unkey_id("rl", "1"), "name": "requests", "limit": 100, "duration": 60000, "auto_apply": 1}
    daily = {"id": unkey_id("rl", "2"), "name": "exports", "limit": 5, "duration": 86400000, "auto_apply": 0}
    # Whose user (an identity), and what differs from a key that is enabled, unlimited and for ever.
    rows = [
        ("live", "Production", "user_5678", "sk_live", dict(meta='{"plan":"premium"}', last_used_at=1763600000000, remaining_requests=8500,
            refill_amount=10000, refill_day=1, last_refill_at="2025-11-01 00:00:00.000", roles=["editor"],
            permissions=["documents.read", "documents.write"], ratelimits=[limit, daily]), "live"),
        ("never", "Never used", "user_5678", "", dict(expires="2099-12-31 23:59:59.000", permissions=["documents.read"]), "live"),
        ("expired", "Trial", "user_91", "sk_test", dict(expires="2025-01-31 00:00:00.000", last_used_at=1738200000000, environment="test"), "expired"),
        ("disabled", "Paused", "user_91", "sk_live", dict(enabled=0, last_used_at=1750000000000, updated_at_m=1750000100000), "disabled"),
        ("deleted", "Deleted", "user_91", "sk_live", dict(deleted_at_m=1755000000000, last_used_at=1754999999000), "revoked"),
        ("spent", "No credits left", "user_5678", "sk_live", dict(remaining_requests=0, last_used_at=1760000000000), "spent"),
        ("strange", STRANGE, None, "sk_live", dict(meta='{"note":"a, \\"b\\""}', permissions=["*", "billing.*"], last_used_at=1762000000000), "live"),
        ("pending", "Brought to Unkey, unused since", "user_91", "acme", dict(pending_migration_id=unkey_id("mig", "1")), "live"),
    ]
    out, listed = [], []
    for i, (label, name, user, prefix, more, state) in enumerate(rows):
        body = base58(data("unkey/" + label, 16))
        plain = prefix + "_" + body if prefix else body
        stored, start = base64.b64encode(sha256(plain).digest()).decode(), plain[:len(plain) - len(body) + 4]
        if label == "pending":  # github.com/seamapi/prefixed-api-key: prefix_short_long, the hex digest of the long part
            long = base58(data("unkey/long", 24))[:24]
            plain = "acme_" + base58(data("unkey/short", 8))[:8] + "_" + long
            stored, start = sha256(long).hexdigest(), ""
        row = dict.fromkeys(UNKEY)
        row.update(id=unkey_id("key", label), key_auth_id=unkey_id("ks", ""), hash=stored, start=start, workspace_id=unkey_id("ws", ""), name=name,
                   created_at_m=1701425400000 + i * 86400000, enabled=1, last_used_at=0, roles=[], permissions=[], ratelimits=[])
        if user:
            row.update(identity_id=unkey_id("id", user), external_id=user)
        row.update(more)
        listed.append((row, plain))
        out.append([json.dumps(row[c]) if isinstance(row[c], list) else row[c] for c in UNKEY])
        token("unkey.csv", row["id"], plain, state)
    write("unkey.csv", UNKEY, out)
    unkey_list(listed)


def millis(when):
    """Of the two dates that occur here."""
    return {"2099-12-31 23:59:59.000": 4102444799000, "2025-01-31 00:00:00.000": 1738281600000}[when]


def unkey_list(rows):
    """What v2/apis.listKeys answers, asked to decrypt: no digest, and the token only of keys that were made recoverable."""
    keys = []
    for row, plain in rows:
        if row["deleted_at_m"]:
            continue
        k = {"keyId": row["id"], "start": row["start"], "enabled": bool(row["enabled"]), "name": row["name"]}
        if row["meta"]:
            k["meta"] = json.loads(row["meta"])
        k["createdAt"] = row["created_at_m"]
        for column, field in (("updated_at_m", "updatedAt"), ("last_used_at", "lastUsedAt")):
            if row[column]:
                k[field] = row[column]
        if row["expires"]:
            k["expires"] = millis(row["expires"])
        for column in ("permissions", "roles"):
            if row[column]:
                k[column] = row[column]
        if row["remaining_requests"] is not None:
            k["credits"] = {"remaining": row["remaining_requests"]}
            if row["refill_amount"]:
                k["credits"]["refill"] = {"interval": "monthly", "amount": row["refill_amount"], "refillDay": row["refill_day"]}
        if row["external_id"]:
            k["identity"] = {"id": row["identity_id"], "externalId": row["external_id"]}
        if row["name"] in ("Production", "Never used"):
            k["plaintext"] = plain
        if row["ratelimits"]:
            k["ratelimits"] = [{"id": r["id"], "name": r["name"], "limit": r["limit"], "duration": r["duration"], "autoApply": bool(r["auto_apply"])} for r in row["ratelimits"]]
        keys.append(k)
    answer = {"meta": {"requestId": "req_2c9a0jf23l4k567"}, "data": keys, "pagination": {"hasMore": False}}
    (HERE / "unkey.json").write_text(json.dumps(answer, indent=1, ensure_ascii=False) + "\n")


for system in (sanctum, drf, plain_sha256, unkey):
    system()
write("tokens.csv", ["file", "key", "token", "state"], tokens)

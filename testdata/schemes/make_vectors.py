"""Vectors of what Python makes: Django, djangorestframework-api-key, argon2-cffi, bcrypt, passlib, hashlib.

    python3 make_vectors.py         writes vectors.json, with those of make_vectors.php before its own
    python3 make_vectors.py check   judges every vector of vectors.json by these libraries, PHP's too

Tokens and salts come from text() and salt(), so they are the same at each run. A call that chooses its salt
itself (argon2.PasswordHasher) keeps the digest that vectors.json has already, if it still verifies.
"""
import base64
import hashlib
import hmac
import json
import pathlib
import platform
import string
import subprocess
import sys

import argon2
import bcrypt
import django
import passlib
from django.conf import settings
from passlib.hash import pbkdf2_sha256, scrypt as passlib_scrypt

settings.configure(PASSWORD_HASHERS=[
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
    "django.contrib.auth.hashers.Argon2PasswordHasher",
])
django.setup()

from django.contrib.auth.hashers import (  # noqa: E402
    Argon2PasswordHasher, BasePasswordHasher, PBKDF2PasswordHasher, check_password, make_password)

HERE = pathlib.Path(__file__).parent
FILE = HERE / "vectors.json"
ALNUM = string.digits + string.ascii_uppercase + string.ascii_lowercase
DJANGO = "Django " + django.__version__
ARGON2 = "argon2-cffi " + argon2.__version__
BCRYPT = "bcrypt " + bcrypt.__version__
PASSLIB = "passlib " + passlib.__version__
HASHLIB = "Python %s hashlib" % platform.python_version()

old = {v["name"]: v for v in json.loads(FILE.read_text())} if FILE.exists() else {}
out = []


def salt(label, n):
    """n bytes that only the label decides."""
    s = b""
    while len(s) < n:
        s += hashlib.sha256(f"{label}/{len(s)}".encode()).digest()
    return s[:n]


def text(label, n):
    """n alphanumerics that only the label decides."""
    return "".join(ALNUM[c % 62] for c in salt(label + "/text", 8 * n) if c < 248)[:n]


def changed(s):
    """s with another last character."""
    return s[:-1] + ALNUM[(ALNUM.index(s[-1]) + 1) % 62]


def opaque(label, n=32):
    return "fm_" + text(label, n), ""


def pair(label, before, n=32):
    """(token, secret) of the shapes keyid:secret and prefix.secret; before holds the separator."""
    s = text(label, n)
    return before + s, s


def add(name, token, made, by, **more):
    """token is (token, secret); the secret was hashed if there is one, unless more says hashed."""
    token, secret = token
    v = {"name": name, "token": token, "secret": secret, "hashed": "secret" if secret else "token", "stored": made}
    out.append({**v, **more, "made_by": by, "good": more.get("good", True)})


def refuse(name, token, made, by, why, library=False, **more):
    """A vector that must not verify; library: the library itself says yes to it."""
    add(name, token, made, by, **more, why=why, library_accepts=library, good=False)


def other(token):
    """The token with another last character of its secret."""
    return tuple(changed(s) if s else "" for s in token)


def plain(token):
    return token[1] or token[0]


class Sha512ApiKeyHasher(BasePasswordHasher):
    """What djangorestframework-api-key 3 gives to make_password: unsalted SHA-512 of the whole key, in hex."""
    algorithm = "sha512"

    def salt(self):
        return ""

    def encode(self, password, salt):
        return "sha512$$" + hashlib.sha512(password.encode()).hexdigest()

    def verify(self, password, encoded):
        return hmac.compare_digest(encoded, self.encode(password, ""))


def drf():
    whole = {"hashed": "token"}
    call = DJANGO + ": make_password(key, hasher=Sha512ApiKeyHasher()), as djangorestframework-api-key 3.1.0"

    def v3(key):
        return make_password(key[0], hasher=Sha512ApiKeyHasher())

    a, b = (pair("drf-v3/%d" % i, text("drf-v3/prefix%d" % i, 8) + ".") for i in (1, 2))
    long = pair("drf-v3/long", text("drf-v3/prefix3", 8) + ".", 120)
    add("drf-v3/1", a, v3(a), call, **whole)
    add("drf-v3/2", b, v3(b), call, **whole)
    add("drf-v3/long", long, v3(long), call + ", KeyGenerator(secret_key_length=120)", **whole)
    refuse("drf-v3/changed", other(a), v3(a), call, "the last character of the secret is another", **whole)
    refuse("drf-v3/other-key", a, v3(b), call, "the digest of another key", **whole)
    refuse("drf-v3/secret-only", a, v3((a[1],)), call, "a digest of the secret, where the system hashes the whole key", **whole)
    swapped = (a[0].swapcase(), a[1].swapcase())
    refuse("drf-v3/prefix-and-case", swapped, v3(a), call, "the same key with its case swapped", **whole)

    call = DJANGO + ": make_password(key), as djangorestframework-api-key 2 (salt given here)"
    a, b = (pair("drf-v2/%d" % i, text("drf-v2/prefix%d" % i, 8) + ".") for i in (1, 2))
    made = [make_password(k[0], salt=text("drf-v2/salt" + k[1], 22)) for k in (a, b)]
    add("drf-v2/1", a, made[0], call, **whole)
    add("drf-v2/2", b, made[1], call, **whole)
    refuse("drf-v2/changed", other(a), made[0], call, "the last character of the secret is another", **whole)
    refuse("drf-v2/other-key", a, made[1], call, "the digest of another key", **whole)


def bcrypts():
    def make(token, cost, ident=b"2b"):
        tail = text("bcrypt/salt" + token[0], 21).encode() + b"u"
        return bcrypt.hashpw(plain(token).encode(), b"$%s$%02d$" % (ident, cost) + tail).decode()

    call = BCRYPT + ": hashpw(token, b'$2b$%02d$' + salt)"
    four = opaque("bcrypt/py-2b-04")
    add("bcrypt/py-2b-04", four, make(four, 4), call % 4)
    t = pair("bcrypt/py-2b-08", "k8:", 40)
    add("bcrypt/py-2b-08", t, make(t, 8), call % 8)
    t = pair("bcrypt/py-2b-12", "Zq81LmX0.", 32)
    add("bcrypt/py-2b-12", t, make(t, 12), call % 12)
    t = opaque("bcrypt/py-2a-05")
    add("bcrypt/py-2a-05", t, make(t, 5, b"2a"), BCRYPT + ": hashpw(token, b'$2a$05$' + salt), the prefix of gensalt(prefix=b'2a')")
    refuse("bcrypt/py-changed", other(four), make(four, 4), call % 4, "the last character of the token is another")
    refuse("bcrypt/py-other-key", four, make(opaque("bcrypt/py-other"), 4), call % 4, "the digest of another key")

    t = pair("bcrypt/py-72", "k72:", 72)
    add("bcrypt/py-72-secret", t, make(t, 4), call % 4 + ", secret of exactly 72 bytes in a token of 76")
    refuse("bcrypt/py-73-secret", (t[0] + "0", t[1] + "0"), make(t, 4), call % 4,
           "a secret of 73 bytes, the first 72 those of bcrypt/py-72-secret: bcrypt 3 cuts, we refuse", True)
    t = opaque("bcrypt/py-13")
    refuse("bcrypt/py-2b-13", t, make(t, 13), call % 13, "cost above the bound", True)


def argon2s():
    def random(name, token, hasher):
        """hasher.hash, or the digest of it that there is already."""
        had = old.get(name, {}).get("stored", "")
        try:
            hasher.verify(had, plain(token))
            return had
        except (argon2.exceptions.InvalidHash, argon2.exceptions.VerifyMismatchError):
            return hasher.hash(plain(token))

    def low(token, m, t, p, **more):
        kind = {"hash_len": 32, "type": argon2.Type.ID, **more}
        return argon2.low_level.hash_secret(plain(token).encode(), salt("argon2/" + token[0], 16), t, m, p, **kind).decode()

    call = ARGON2 + ": low_level.hash_secret(token, salt, time_cost=%d, memory_cost=%d, parallelism=%d, hash_len=32, type=Type.ID)"
    bound = opaque("argon2id/at-bound")
    add("argon2id/py-at-bound", bound, low(bound, 65536, 4, 1), call % (4, 65536, 1))
    name, t = "argon2id/py-rfc9106-low-memory", pair("argon2id/rfc9106", "k1042:", 40)
    add(name, t, random(name, t, argon2.PasswordHasher(time_cost=3, memory_cost=65536, parallelism=4, hash_len=32)),
        ARGON2 + ": PasswordHasher(time_cost=3, memory_cost=65536, parallelism=4, hash_len=32).hash(secret), the defaults of 21.2 and later")
    small = opaque("argon2id/py-long", 150)
    add("argon2id/py-long", small, low(small, 8192, 1, 2, hash_len=16), (call % (1, 8192, 2)).replace("hash_len=32", "hash_len=16"))
    refuse("argon2id/py-changed", other(small), low(small, 8192, 1, 2), call % (1, 8192, 2), "the last character of the token is another")
    refuse("argon2id/py-other-key", small, low(bound, 8192, 1, 2), call % (1, 8192, 2), "the digest of another key")

    name, t = "argon2id/py-defaults", opaque("argon2id/py-defaults")
    refuse(name, t, random(name, t, argon2.PasswordHasher()),
           ARGON2 + ": PasswordHasher().hash(token): m=102400,t=2,p=8, the defaults before 21.2", "memory above the bound", True)
    refuse("argon2id/py-m-over", bound, low(bound, 65537, 1, 1), call % (1, 65537, 1), "memory above the bound, by one KiB", True)
    refuse("argon2id/py-t-over", bound, low(bound, 65536, 5, 1), call % (5, 65536, 1), "passes above the bound", True)
    refuse("argon2id/py-v16", bound, low(bound, 4096, 1, 1, version=16), call % (1, 4096, 1) + ", version=16", "version 1.0 of Argon2, not 1.3", True)
    refuse("argon2id/py-argon2d", bound, low(bound, 4096, 1, 1, type=argon2.Type.D), (call % (1, 4096, 1)).replace("ID", "D"), "argon2d, not argon2id", True)

    class Affordable(Argon2PasswordHasher):
        """A host's own subclass, within our bounds."""
        memory_cost, time_cost, parallelism = 19456, 2, 1

    call = DJANGO + " and " + ARGON2 + ": make_password(key, salt, hasher=%s)"
    t = pair("argon2id-django/1", "Zq81LmX0.")
    made = make_password(t[0], salt=text("argon2id-django/salt", 22), hasher=Affordable())
    own = call % "a subclass of Argon2PasswordHasher with memory_cost=19456, parallelism=1"
    add("argon2id-django/1", t, made, own, hashed="token")
    t2 = opaque("argon2id-django/long", 110)
    add("argon2id-django/long", t2, make_password(t2[0], salt=text("argon2id-django/salt2", 22), hasher=Affordable()), own)
    refuse("argon2id-django/changed", other(t), made, own, "the last character of the secret is another", hashed="token")
    refuse("argon2id-django/other-key", t2, made, own, "the digest of another key")
    refuse("argon2id-django/defaults", t, make_password(t[0], salt=text("argon2id-django/salt", 22), hasher="argon2"), call % "'argon2'",
           "memory above the bound: m=102400,t=2,p=8 are Django's defaults", True, hashed="token")


def scrypts():
    def django_form(token, n=2**14, r=8, p=1):
        """Laid out as ScryptPasswordHasher of Django 4.0 and later: 64 bytes, the salt's own text hashed."""
        s = text("scrypt/salt" + token[0], 22)
        h = hashlib.scrypt(plain(token).encode(), salt=s.encode(), n=n, r=r, p=p, maxmem=2**28, dklen=64)
        return "scrypt$%d$%s$%d$%d$%s" % (n, s, r, p, base64.b64encode(h).decode())

    call = HASHLIB + ".scrypt(n=%d, r=8, p=%d, dklen=64), laid out as Django's ScryptPasswordHasher.encode"
    a, b, long = opaque("scrypt-django/1"), pair("scrypt-django/2", "k1042:"), opaque("scrypt-django/long", 120)
    add("scrypt-django/p1", a, django_form(a), call % (2**14, 1) + ", the defaults of 4.0 to 5.0")
    add("scrypt-django/p5", b, django_form(b, p=5), call % (2**14, 5) + ", the defaults of 5.1 and later")
    add("scrypt-django/long", long, django_form(long, n=2**15), call % (2**15, 1))
    refuse("scrypt-django/changed", other(a), django_form(a), call % (2**14, 1), "the last character of the token is another")
    refuse("scrypt-django/other-key", a, django_form(long), call % (2**14, 1), "the digest of another key")
    refuse("scrypt-django/n-over", a, django_form(a, n=2**17), call % (2**17, 1), "128 MiB, memory above the bound", True)

    def make(token, rounds=16, size=16, **more):
        return passlib_scrypt.using(salt=salt("passlib/" + token[0], size), rounds=rounds, **more).hash(plain(token))

    call = PASSLIB + ": passlib.hash.scrypt.using(salt=…%s).hash(token)"
    a, b, long = opaque("scrypt-passlib/1"), pair("scrypt-passlib/2", "Zq81LmX0."), opaque("scrypt-passlib/long", 120)
    add("scrypt-passlib/defaults", a, make(a), call % "" + ": ln=16,r=8,p=1, 64 MiB")
    add("scrypt-passlib/ln12-p2", b, make(b, 12, parallelism=2), call % ", rounds=12, parallelism=2")
    add("scrypt-passlib/long", long, make(long, 14, 32, block_size=4), call % ", rounds=14, block_size=4, a salt of 32 bytes")
    refuse("scrypt-passlib/changed", other(a), make(a, 12), call % ", rounds=12", "the last character of the token is another")
    refuse("scrypt-passlib/other-key", a, make(long, 12), call % ", rounds=12", "the digest of another key")
    refuse("scrypt-passlib/ln-over", a, make(a, 17), call % ", rounds=17", "128 MiB, memory above the bound", True)


def pbkdf2s():
    def django_form(token, **more):
        return PBKDF2PasswordHasher().encode(plain(token), text("pbkdf2/salt" + token[0], 22), **more)

    call = DJANGO + ": make_password(token, salt)"
    own = DJANGO + ": PBKDF2PasswordHasher().encode(token, salt, iterations=%d), the default of Django %s"
    a, b, long = opaque("pbkdf2-django/1"), pair("pbkdf2-django/2", "k1042:"), opaque("pbkdf2-django/long", 130)
    add("pbkdf2-django/defaults", a, make_password(a[0], salt=text("pbkdf2/salt" + a[0], 22)), call + ": 260000")
    add("pbkdf2-django/600000", b, django_form(b, iterations=600000), own % (600000, "4.2"))
    add("pbkdf2-django/1000000", a, django_form(a, iterations=1000000), own % (1000000, "5.2"))
    # Before 3.2 a salt had 12 characters.
    add("pbkdf2-django/old-long", long, PBKDF2PasswordHasher().encode(long[0], text("pbkdf2/old", 12), iterations=36000), own % (36000, "1.11") + " with its salt of 12")
    refuse("pbkdf2-django/changed", other(a), django_form(a, iterations=36000), own % (36000, "1.11"), "the last character of the token is another")
    refuse("pbkdf2-django/other-key", a, django_form(long, iterations=36000), own % (36000, "1.11"), "the digest of another key")

    def make(token, s, rounds=29000):
        return pbkdf2_sha256.using(salt=s, rounds=rounds).hash(plain(token))

    # A salt of these bytes reads "+" and "/" in base64, so "." and "/" in passlib's alphabet.
    dots = b"\xfb\xef\xbe\xff\xff\xff" + salt("pbkdf2/dots", 10)
    call = PASSLIB + ": passlib.hash.pbkdf2_sha256.using(salt=…%s).hash(token)"
    a, b, long = opaque("pbkdf2-passlib/1"), pair("pbkdf2-passlib/2", "Zq81LmX0."), opaque("pbkdf2-passlib/long", 130)
    add("pbkdf2-passlib/defaults", a, make(a, dots), call % "")
    add("pbkdf2-passlib/100000", b, make(b, salt("pbkdf2/b", 16), 100000), call % ", rounds=100000")
    add("pbkdf2-passlib/long", long, make(long, salt("pbkdf2/long", 24)), call % "" + ", a salt of 24 bytes")
    refuse("pbkdf2-passlib/changed", other(a), make(a, dots), call % "", "the last character of the token is another")
    refuse("pbkdf2-passlib/other-key", a, make(long, dots), call % "", "the digest of another key")

    def b64(b):
        return base64.b64encode(b).decode().rstrip("=")

    def phc(token, i, s, n=32, params="i=%d,l=%d"):
        h = hashlib.pbkdf2_hmac("sha256", plain(token).encode(), s, i, n)
        return "$pbkdf2-sha256$%s$%s$%s" % (params % ((i, n) if "l=" in params else i), b64(s), b64(h))

    call = HASHLIB + ".pbkdf2_hmac('sha256', token, salt, %d, %d), laid out by the PHC string format"
    a, b, long = opaque("pbkdf2-phc/1"), pair("pbkdf2-phc/2", "k1042:"), opaque("pbkdf2-phc/long", 130)
    add("pbkdf2-phc/600000", a, phc(a, 600000, dots), call % (600000, 32) + ", parameters i and l")
    add("pbkdf2-phc/no-l", b, phc(b, 25000, salt("phc/b", 16), params="i=%d"), call % (25000, 32) + ", parameter i alone")
    add("pbkdf2-phc/long-l64", long, phc(long, 10000, salt("phc/long", 16), 64), call % (10000, 64))
    refuse("pbkdf2-phc/changed", other(a), phc(a, 10000, dots), call % (10000, 32), "the last character of the token is another")
    refuse("pbkdf2-phc/other-key", a, phc(long, 10000, dots), call % (10000, 32), "the digest of another key")
    refuse("pbkdf2-phc/i-over", a, phc(a, 10000000, dots), call % (10000000, 32), "iterations above any bound", True)
    wrong_l = phc(a, 10000, dots).replace("l=32", "l=64")
    refuse("pbkdf2-phc/l-differs", a, wrong_l, call % (10000, 32) + ", then l=64 written", "l is not the length of the digest")


def accepts(v):
    """What a library says of a vector, whichever of the two languages made it."""
    plain, s = v[v["hashed"]].encode(), v["stored"]
    if s.startswith("$2"):
        return bcrypt.checkpw(plain, s.encode())
    if s.startswith("$argon2"):
        try:
            return argon2.low_level.verify_secret(s.encode(), plain, {"d": argon2.Type.D, "i": argon2.Type.I}.get(s[7:s.index("$", 1)], argon2.Type.ID))
        except argon2.exceptions.VerifyMismatchError:
            return False
    if s.startswith(("pbkdf2_sha256$", "argon2$")):
        return check_password(plain.decode(), s)
    if s.startswith("sha512$$"):
        return s == "sha512$$" + hashlib.sha512(plain).hexdigest()
    if s.startswith("scrypt$"):
        _, n, t, r, p, want = s.split("$")
        h = hashlib.scrypt(plain, salt=t.encode(), n=int(n), r=int(r), p=int(p), maxmem=2**28, dklen=64)
        return base64.b64encode(h).decode() == want
    if s.startswith("$scrypt$"):
        return passlib_scrypt.verify(plain, s)
    if s.startswith("$pbkdf2-sha256$i="):
        _, _, params, t, want = s.split("$")
        params = dict(x.split("=") for x in params.split(","))
        ab64 = "$pbkdf2-sha256$%s$%s$%s" % (params["i"], t.replace("+", "."), want.replace("+", "."))
        if len(want) == 43:  # passlib knows 32 bytes alone
            return int(params.get("l", 32)) == 32 and pbkdf2_sha256.verify(plain, ab64)
        t, want = (base64.b64decode(x + "=" * (-len(x) % 4)) for x in (t, want))
        return len(want) == int(params["l"]) and hashlib.pbkdf2_hmac("sha256", plain, t, int(params["i"]), len(want)) == want
    if s.startswith("$pbkdf2-sha256$"):
        return pbkdf2_sha256.verify(plain, s)
    salted = bytes.fromhex(v.get("salt", ""))
    text = salted + plain if v.get("salt_position") == "before" else plain + salted
    sha = hashlib.sha512 if v["name"].startswith("sha512") else hashlib.sha256
    h = hmac.digest(bytes.fromhex(v["hmac_key"]), plain, "sha256") if "hmac_key" in v else sha(text).digest()
    url = base64.urlsafe_b64encode(h).decode().rstrip("=")
    family = v["name"].split("/")[0]
    if family.endswith("-upper"):
        return s == h.hex().upper()
    if family.endswith("base64url"):
        return s == url
    return s == (base64.b64encode(h).decode() if family.endswith("base64") else h.hex())


def check():
    wrong = 0
    for v in old.values():
        ok = accepts(v) == (v["good"] or v["library_accepts"])
        ok = ok and (v["secret"] == "" or v["token"].endswith(v["secret"])) and v["good"] == ("why" not in v)
        if not ok:
            print(v["name"], "disagrees", file=sys.stderr)
            wrong += 1
    print("Python's libraries: %d judged, %d disagree" % (len(old), wrong))
    return subprocess.run(["php", str(HERE / "make_vectors.php"), "check"]).returncode or int(wrong > 0)


if sys.argv[1:] == ["check"]:
    sys.exit(check())
out += json.loads(subprocess.run(["php", str(HERE / "make_vectors.php")], check=True, capture_output=True).stdout)
for family in (drf, bcrypts, argon2s, scrypts, pbkdf2s):
    family()
assert len({v["name"] for v in out}) == len(out)
FILE.write_text(json.dumps(out, indent=1, ensure_ascii=False) + "\n")
print(len(out), "vectors")

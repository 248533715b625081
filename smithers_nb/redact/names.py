"""Which names speak of a secret.

A name is split into words (`dbPassword`, `DB_PASSWORD`, `db.password`), and what counts is what it is a name of: `password` is a secret,
`password_policy` and `primary_key` are none, and of `stripe_key` only the value can tell.
"""

from __future__ import annotations

import re
from enum import IntEnum
from functools import lru_cache
from typing import Final

NAME_WORDS: Final = (
    *("token", "secret", "pass", "pwd", "pw", "psk", "cred", "auth", "cookie"),
    *("key", "dsn", "salt", "jwt", "otp", "csrf", "xsrf", "session"),
)
"""One of these is in every name that `password=…` and the like are looked for by, in lower case."""


class Grade(IntEnum):
    """How surely a name says that its value is a secret."""

    NO = 0
    PERHAPS = 1
    SURELY = 2


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_PASSWORDS: Final = ("password", "passwd", "passphrase", "passcode", "secret", "secrets", "passwords", "credential", "credentials", "pwd")
_SURE: Final = (
    *_PASSWORDS,
    "token",
    "apikey",
    "secretkey",
    "accesskey",
    "privatekey",
    "authkey",
    "masterkey",
    "signingkey",
    "authorization",
)
_SURE_ALONE: Final = _words("pass pw psk dsn authtoken storepass keypass userpass dbpass rootpass adminpass")
_UNSURE_ALONE: Final = _words("auth jwt bearer totp otp salt cookie sessionid csrf xsrf pat sas key")
_KEYS: Final = _words(
    "access account admin api app application auth authentication client consumer decryption deploy encryption host jwt license master "
    "nonce private provisioning root secret secure server service shared signing ssh storage subscription token webhook x"
)
_ORDINARY_KEYS: Final = _words(
    "arrow branch business cache candidate column composite config correlation current cursor dataset dedupe dict duplicate enter escape "
    "event expected foreign function group hash hot i18n idempotency index item join json label locale lookup map message metadata "
    "missing name natural next node object option order output page partition path primary prop property public publishable query "
    "range reduce ref registry request root result routing row schema section search shard shift short shortcut slot sort state step "
    "surrogate tab table task template theme title translation type unique unknown user work workflow yaml"
)
_ORDINARY_TOKENS: Final = _words(
    "bad begin bos cls completion continuation continue count cursor end eos expected first input invalid last mask max min missing n "
    "next num output pad page prev previous prompt sep special start stop sync total unexpected unk used"
)
_NEUTRAL: Final = _words(
    "b64 base base64 data decoded default dev development encoded encrypted env hash live main new old plain plaintext prod production "
    "raw sandbox staging str string test testing text val value var"
)
_ABOUT: Final = _words(
    "age alg algorithm alias arn at attempts bucket budget callback change changed class column cost count counts created date "
    "description details dir directory enabled endpoint entropy env error errors exists expiration expired expires expiry exp field "
    "file filename files folder format grant hashers hasher header help hint host id ids index input issuer key keys kind label last "
    "left len length level limit limits link location manager max message method min minutes mode model msg name names namespace "
    "negotiation note owner page path pattern placeholder policy position prefix present prompt provider ref refs regex region "
    "required requirements reset resolver retrieval rotation rule rules scope scopes seconds service size source stage state status "
    "store strength strategy suffix supplier template time timeout title tokens total ttl type types updated url uri usage use used "
    "user username uses valid validation validator validators version versions visible window "
)
_ABOUT_FIRST: Final = _words("forgot has is needs no missing requires reset show hide toggle use uses without")
_SPLIT: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


def is_secret_name(name: str) -> bool:
    """Return whether a key or column of this name may hold a secret."""
    return grade(name) is not Grade.NO


@lru_cache(maxsize=1024)
def is_password_name(name: str) -> bool:
    """Return whether a name speaks of a password, of which also a short number is one."""
    return any(word.endswith(_PASSWORDS) or word in {"pass", "pw"} for word in words(name))


def words(name: str) -> list[str]:
    """Split a name into its words, in lower case."""
    return [word.lower() for word in _SPLIT.findall(name)]


@lru_cache(maxsize=4096)
def grade(name: str) -> Grade:
    """Judge a name."""
    parts = words(name)
    while len(parts) > 1 and (parts[-1] in _NEUTRAL or parts[-1].isdigit()):
        parts.pop()
    if not parts or parts[0] in _ABOUT_FIRST:
        return Grade.NO
    head, last = parts[:-1], parts[-1]
    if last == "key" and head:
        return _key(name, head)
    if last == "token" and head and head[-1] in _ORDINARY_TOKENS:
        return Grade.NO
    if last.endswith(_SURE) or last in _SURE_ALONE or (last != "key" and last.endswith("key") and last.removesuffix("key") in _KEYS):
        return Grade.SURELY
    # a connection string has its own password in it
    unsure = last in _UNSURE_ALONE or (last == "connection" and "string" in words(name))
    return Grade.PERHAPS if unsure else _followed(parts)


def _key(name: str, head: list[str]) -> Grade:
    if head[-1] in _KEYS or head[-1].endswith(("api", "secret", "access", "private")):
        return Grade.SURELY
    if head[-1] in _ORDINARY_KEYS or head[-1] == "idempotence":
        return Grade.NO
    return Grade.SURELY if name.isupper() else Grade.PERHAPS


def _followed(parts: list[str]) -> Grade:
    """Judge a name in which other words follow the telling one, such as `password_admin` and `password_policy`."""
    for position, word in enumerate(parts[:-1]):
        sure = word.endswith(_SURE) or (word == "key" and position > 0 and parts[position - 1] in _KEYS)
        if sure and not _ABOUT.intersection(parts[position + 1 :]) and parts[-1] != "tokens":
            return Grade.SURELY if word.endswith(_PASSWORDS) else Grade.PERHAPS
    return Grade.NO

"""Secrets out of any text or JSON value, before it reaches a page, a model, a log or another machine.

Gets text (`redact`) or a JSON value (`redact_value`); gives the same with every secret replaced by `[REDACTED:3f2a]`, where equal
secrets have equal tags and short ones, which could be guessed from a tag, have none. Doing it twice changes nothing.

A secret is given away by how it begins (a prefix of a known kind of token) or by the name before it (`password=`). One pass over the
text finds those words, and only there the full expression is tried, so that megabytes without secrets stay cheap.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from typing import Any, Final

_MARK: Final = "[REDACTED"
_ANY_MARK: Final = re.compile(r"\[REDACTED(?::[0-9a-f]{4})?\]")
_TAGGED_LENGTH: Final = 16
_SHORTEST: Final = 2
_PASSES: Final = 8

_PREFIXED: Final = (
    r"sk-(?![a-z]+-[a-z-]*(?![\w-]))[\w-]{8,}",  # OpenAI, Anthropic; not a name of lower-case words
    r"(?:sk|rk|pk)_(?:live|test)_\w{8,}|whsec_\w{16,}",  # Stripe
    r"gh[pousr]_\w{20,}|github_pat_\w{20,}",
    r"glpat-[\w-]{16,}|gl(?:ptt|dt|rt|cbt)-[\w-]{16,}",  # GitLab
    r"(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Z0-9])",
    r"xox[abeprs]-[\w-]{10,}|xapp-[\w-]{10,}",  # Slack
    r"AIza[\w-]{35,}|ya29\.[\w.-]{10,}|GOCSPX-[\w-]{20,}",  # Google
    r"hf_[A-Za-z0-9]{16,}|npm_[A-Za-z0-9]{20,}|pypi-[\w-]{32,}",
    r"gsk_\w{20,}|xai-\w{20,}|nvapi-[\w-]{20,}|pplx-\w{20,}|r8_\w{20,}|lin_api_\w{16,}|dckr_pat_[\w-]{16,}|shpat_\w{16,}",
    r"SG\.[\w-]{16,}\.[\w-]{16,}",  # SendGrid
    r"eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)*",  # JSON web tokens
)
_ESCAPE: Final = r"(?<=\\[bfnrt])|(?<=\\u[0-9a-fA-F]{4})|(?<=%[0-9a-fA-F]{2})|(?<=\[[0-9]m)|(?<=[0-9]{2}m)|(?<=\[m)"
_FREE: Final = rf"(?:(?<![A-Za-z0-9])|{_ESCAPE})"
"""Where a word begins: also behind an escape of JSON or of a URL, and behind the colour of a terminal."""
_LOOSE_WORDS: Final = (
    r"(?!(?:tokens?|auth\w*|realm|error|errors|scheme|header|format|credentials?|is|was|required|missing|invalid|not|and|or)\b)"
)
_NAME: Final = (
    r"(?:(?i:token|secret|passw(?:or)?d|passphrase|credential|authorization|connection[-_]?string|dsn)"
    r"|(?:(?<=[-_\"'])|(?<=(?i:api))|(?<=(?i:access))|(?<=(?i:private)))(?i:key)(?![a-z])|(?<=[a-z])Key(?![a-z]))"
)
_UPPER_KEY: Final = r"(?:(?<![A-Z0-9])|(?<=API)|(?<=ACCESS)|(?<=SECRET)|(?<=PRIVATE)|(?<=AUTH)|(?<=SIGNING))KEY"
_SPOKEN: Final = (
    r"(?:(?i:passw(?:or)?d|passphrase|pwd|secret|token)|(?:(?<=[-_])|(?<=(?i:api))|(?<=(?i:access))|(?<=(?i:private)))(?i:key))"
)
_FLAG: Final = r"(?:(?<=--)(?:token|password|secret)|(?<=--auth-)token|(?<=--access-)token|(?<=--api-)key)"
_PROSE: Final = r"(?!(?:options?|flags?|arguments?|parameters?|values?|is|was|to|and|or|not|must|may|in|for|with|from|as)\b)"
_QUOTED: Final = r"(?:\"[^\"\n]*(?:\"|\Z)|'[^'\n]*(?:'|\Z))"
_KEY: Final = re.compile(
    r"(?i:(?:api|access|private)[-_]?key|[-_]key$|^key$|token(?!i[sz])|secret|passw(?:or)?d|passphrase|^pwd$|credential|authorization|dsn|connection)|[a-z]Key$"
)
_KEY_WORDS: Final = ("key", "token", "secret", "passw", "passphrase", "pwd", "credential", "authorization", "dsn", "connection")
"""One of these is in every name that `_KEY` finds."""
_ORDINARY_KEY: Final = re.compile(
    r"(?i)(?:cache|schema|primary|foreign|idempotency|dedupe|node|state|output|sort|group|object|lookup|public|partition|correlation)[-_]?key$"
)
_COUNT_KEY: Final = re.compile(
    r"(?i)tokens$|tokens?[-_]?(?:count|usage|limit|budget|total|used|cost|details)|^(?:max|min|num|n|total)[-_]?token"
)
_COUNTED: Final = re.compile(r"(?i)(?:max|min|num|total|input|output|used|n)[-_ ]?$")
_NODE_KEY: Final = re.compile(r"::\d+$")
"""How Smithers names a node in one iteration, such as `normalize::0`, in a field called `key`."""
_NEVER_NUMBER: Final = re.compile(r"(?i)passw(?:or)?d|secret|credential|passphrase|pwd")
_NUMBER: Final = re.compile(r"[\d.,_]+[kKmM]?")
_PLACEHOLDER: Final = re.compile(
    r"\[REDACTED|<[A-Za-z]|\$[A-Z_{(]|\.\.\.|…|\*{3}|%[A-Z_]+%|\{\{|(?:process|import\.meta)\.env|os\.(?:environ|getenv)|getenv|(?:null|None|undefined|true|false)\b"
)


_WORDS: Final = (
    *(
        "sk-",
        "sk_",
        "rk_",
        "pk_",
        "whsec_",
        "ghp_",
        "gho_",
        "ghu_",
        "ghs_",
        "ghr_",
        "github_pat_",
        "glpat-",
        "glptt-",
        "gldt-",
        "glrt-",
        "glcbt-",
    ),
    *(
        "akia",
        "asia",
        "xox",
        "xapp-",
        "aiza",
        "ya29.",
        "gocspx-",
        "hf_",
        "npm_",
        "pypi-",
        "gsk_",
        "xai-",
        "nvapi-",
        "pplx-",
        "r8_",
        "lin_api_",
    ),
    *("dckr_pat_", "shpat_", "sg.", "eyj", "-----begin ", "://", "bearer ", "basic ", "sig=", "sharedaccesssignature"),
    *("hooks.slack.com/", "api/webhooks/"),
    *("token", "secret", "passw", "passphrase", "pwd=", "credential", "authorization", "connection", "dsn", "key"),
)
_LOCATOR: Final = re.compile(
    "|".join(
        f"{re.escape(first)}(?:{'|'.join(re.escape(word[1:]) for word in _WORDS if word[0] == first)})"
        for first in sorted({word[0] for word in _WORDS})
    )
)
_FINDER: Final = re.compile(
    "|".join(
        (
            r"(?P<pem>-----BEGIN (?:[A-Z0-9]{1,20} ){0,4}PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z0-9 ]{1,80}-----|\Z))",
            r"://[^\s/:@\"'<>\[\]]{0,256}:(?P<url>[^\s/\"'<>]{1,512})(?=@)",
            rf"{_FREE}(?P<prefixed>{'|'.join(_PREFIXED)})",
            rf"{_FREE}(?i:bearer) {_LOOSE_WORDS}(?P<bearer>[\w.~+/=-]{{4,}})",
            rf"{_FREE}(?i:basic) (?P<basic>[A-Za-z0-9+/]{{12,}}={{1,2}})",
            # NAME=value of an environment, and AccountKey=…; of a connection string
            rf"(?:TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?|{_UPPER_KEY}|(?<=[a-z])Key|SharedAccessSignature)=(?P<name>{_QUOTED}|[^\s\"'&;,]+)",
            # "…token…": "value", also when the text was cut within it, the same inside a JSON string, and 'password': 'value'
            rf"{_NAME}[\w.-]{{0,64}}\"\s{{0,8}}:\s{{0,8}}\"(?P<json>(?:[^\"\\]|\\.)*)(?=\"|\\?\Z)",
            rf"{_NAME}[\w.-]{{0,64}}\\{{1,8}}\"\s{{0,8}}:\s{{0,8}}\\{{1,8}}\"(?P<inner>[^\"\\]*)(?=\\|\Z)",
            rf"{_NAME}[\w.-]{{0,64}}'\s{{0,8}}:\s{{0,8}}'(?P<repr>(?:[^'\\]|\\.)*)(?='|\\?\Z)",
            # password=value; with spaces or a colon only what is quoted or has a digit, because "unexpected token: x" is no secret
            rf"{_SPOKEN}=(?P<lower>{_QUOTED}|[^\s\"'&;,)\]}}]+)",
            rf"{_SPOKEN} {{0,2}}(?:= {{1,2}}|: {{0,2}})(?P<colon>(?=..{{4}}){_QUOTED}|(?=[^\s\"'\d]{{0,99}}\d)[^\s\"'&;,)\]}}]{{6,}})",
            # --token value of a command line
            rf"{_FLAG} {{1,3}}{_PROSE}(?P<flag>{_QUOTED}|[^\s\"'<$-][^\s\"']{{3,}})",
            r"hooks\.slack\.com/(?:services|workflows|triggers)/(?P<slack>[\w/-]{8,})|api/webhooks/\d{5,30}/(?P<discord>[\w-]{16,})",
            r"(?<=[?&;])sig=(?P<sas>[\w%+/=-]{20,})",
        )
    ),
    re.DOTALL,
)
_RARE: Final = (
    ("==", re.compile(rf"(?:(?<![A-Za-z0-9+])|{_ESCAPE})[A-Za-z0-9+/]{{86}}==(?!=)")),  # Azure storage keys
    (
        "8Q~",
        re.compile(rf"(?:(?<![A-Za-z0-9_.~-])|{_ESCAPE})[A-Za-z0-9_~.-]{{3}}8Q~[A-Za-z0-9_~.-]{{31,34}}(?![A-Za-z0-9_~.-])"),
    ),  # Azure client secrets
    ("JQQJ99", re.compile(rf"{_FREE}[A-Za-z0-9]{{20,60}}JQQJ99[A-Za-z0-9]{{10,60}}(?![A-Za-z0-9])")),  # Azure service keys
)
_PERSONAL: Final = re.compile(
    r"(?P<home>(?:(?<=/home/)|(?<=/Users/)|(?<=:\\Users\\)|(?<=:\\\\Users\\\\))[^/\\\s\"':]+"
    r"|(?:(?<=/-home-)|(?<=/-Users-))[^-/\\\s\"':]+)"  # how agents name the folder of a project
    # the last label is of letters, because `react@18.2.0` is a package; `git@` is nobody
    r"|(?P<mail>(?<![\w.+-])(?!git@)[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![\w-]))"
)


def redact(text: str, *, personal: bool = False) -> str:
    """Replace every secret in a text.

    Args:
        text: Any text, also JSON, code, logs; megabytes are fine.
        personal: Replace user names in home paths and e-mail addresses as well.
    """
    for _ in range(_PASSES):  # what was glued to a secret may stand free afterwards
        before, text = text, _once(text, personal=personal)
        if text == before:
            break
    return text


def redact_value(value: Any, *, personal: bool = False) -> Any:
    """Replace every secret in a JSON value: in keys, in strings, and whatever lies under a key that names a secret.

    Counts of tokens and other numbers stay, unless their key speaks of a password or secret.
    """
    if isinstance(value, str):
        return redact(value, personal=personal)
    if isinstance(value, dict):
        return {redact(key, personal=personal) if isinstance(key, str) else key: _entry(key, item, personal) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redact_value(item, personal=personal) for item in value]
    return value


def short_line(text: str | None, length: int = 160) -> str:
    """Bring text of any size onto one line of at most `length` characters, without its secrets."""
    line = " ".join(redact(text or "").split())  # before it is cut: half a secret is not recognised any more
    return line if len(line) <= length else f"{line[: length - 1]}…"


def surely_clean(json_text: str) -> bool:
    """Tell quickly that `redact_value` would change nothing in a value of which this is the JSON; False means that it might.

    Three times faster than looking, for the many values without a secret. Text with a backslash is never judged, because behind an
    escaped line break a pattern does not see that a word begins.
    """
    if "\\" in json_text:
        return False
    lower = json_text.lower()
    return not any(word in lower for word in _KEY_WORDS) and redact(json_text) == json_text


def is_secret_name(name: str) -> bool:
    """Tell whether a key or column of this name holds a secret."""
    return _KEY.search(name) is not None and _ORDINARY_KEY.search(name) is None


def _entry(key: object, value: Any, personal: bool) -> Any:
    if not isinstance(key, str) or not is_secret_name(key) or value is None or isinstance(value, bool):
        return redact_value(value, personal=personal)
    if key == "key" and isinstance(value, str) and _NODE_KEY.search(value):
        return redact(value, personal=personal)
    if isinstance(value, int | float):
        return _MARK + "]" if _NEVER_NUMBER.search(key) else value
    if _COUNT_KEY.search(key) and (not isinstance(value, str) or _NUMBER.fullmatch(value)):
        return redact_value(value, personal=personal)
    if not isinstance(value, str):
        return _MARK + "]" if value else value
    return value if not value or _ANY_MARK.fullmatch(value) else _mark(value)


def _once(text: str, *, personal: bool) -> str:
    text = _without_found(text)
    for hint, pattern in _RARE:
        if hint in text:
            text = pattern.sub(lambda match: _mark(match.group()), text)
    return _PERSONAL.sub(_personal_mark, text) if personal else text


def _without_found(text: str) -> str:
    lowered = text.replace("\u0130", "i").lower()  # the one letter whose lower case is longer, which would shift positions
    pieces: list[str] = []
    done = 0
    for word in _LOCATOR.finditer(lowered):
        if word.start() < done:
            continue
        found = _FINDER.match(text, word.start())
        if found is None or found.lastgroup is None:
            continue
        start, end = found.span(found.lastgroup)
        secret = text[start:end]
        if len(secret) > 1 and secret[0] in "\"'" and secret[-1] == secret[0]:
            start, end, secret = start + 1, end - 1, secret[1:-1]
        if not _spared(secret, found.lastgroup) and not _ordinary(text, word, secret):
            pieces += (text[done:start], _mark(secret))
            done = end
    return "".join((*pieces, text[done:])) if pieces else text


def _ordinary(text: str, word: re.Match[str], secret: str) -> bool:
    """Tell whether the name is that of a key in a table, or of a number of tokens."""
    if word.group() == "key":
        return _ORDINARY_KEY.search(text, max(0, word.start() - 16), word.end()) is not None
    counted = word.group() == "token" and _COUNTED.search(text, max(0, word.start() - 8), word.start()) is not None
    return counted and _NUMBER.fullmatch(secret) is not None


def _personal_mark(match: re.Match[str]) -> str:
    return match.group() if _MARK in match.group() else _mark(match.group())


def _spared(secret: str, group: str) -> bool:
    """Tell whether a value beside a telling name is only a placeholder or a reference to the environment."""
    if not secret or _ANY_MARK.fullmatch(secret):
        return True
    if group in {"prefixed", "pem", "bearer", "basic", "url", "sas"}:
        return False
    return _PLACEHOLDER.match(secret) is not None or (group != "json" and len(secret) < _SHORTEST)


@lru_cache(maxsize=4096)
def _mark(secret: str) -> str:
    if len(secret) < _TAGGED_LENGTH:
        return _MARK + "]"
    digest = hashlib.blake2b(secret.encode("utf-8", "surrogatepass"), digest_size=2, person=b"smithers-nb").hexdigest()
    return f"{_MARK}:{digest}]"

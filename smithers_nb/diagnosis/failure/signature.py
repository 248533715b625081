"""The fingerprint of an error message: equal for the same failure, different for different ones.

What varies from run to run (ids, paths, hosts, numbers, times) becomes a placeholder. What names the error (property, module and
field names, HTTP statuses, exit codes) stays. One pass of one expression does this, over at most `LIMIT` characters.
"""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import blake2b
from typing import Final

LIMIT: Final = 4000
"""Maximum length in characters; longer messages are cut first, because what tells failures apart is at the beginning."""

_MAX_NORMALISED: Final = 1200

_NOISE: Final = re.compile(
    r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\s?See https?://smithers\.sh/reference/errors\S*"
)

# Order matters: the first branch that matches at a position wins, so what must stay (`keep`) comes before what would replace it.
_VOLATILE: Final = re.compile(
    r"""
    (?<![0-9A-Za-z_>])(?:
        (?P<keep> (?i:exit(?:ed)?(?:\ with)?(?:[\ _](?:code|status))?|status(?:[\ _]?code)?|(?:error|return)[\ _]code
              |(?:api|http)\ error|http(?:/[\d.]+)?|errno)
            [\ :=(\[]{1,3}-?\d{1,3}\b(?![\d.,:]) )
      | (?P<id> [0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}
          | (?:req|resp|msg|chatcmpl|run|call|toolu|sess|session|thread|org|gen|trace|job|batch)[_-](?=[A-Za-z_-]*\d)[0-9A-Za-z_-]{6,}
          | 0x[0-9a-fA-F]+
          | (?=[a-fA-F]*\d)[0-9a-fA-F]{7,}(?![0-9A-Za-z_])
          | (?=[A-Za-z]*\d)[0-9A-Za-z]{20,} )
      | (?P<url> [A-Za-z][0-9A-Za-z+.-]{1,20}://[^\s'"`<>()\[\]{}]+ )
      | (?P<time> \d{4}-\d\d-\d\d(?:[T\ ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:\ ?Z|\ ?[+-]\d\d:?\d\d)?)?(?!\d)
          | (?<!:)\d{1,2}:\d\d(?::\d\d(?:\.\d+)?)?(?:\ ?[AaPp]\.?[Mm]\b)?(?![\w:])
          | (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*\.?\ \d{1,2}(?:st|nd|rd|th)?(?:,?\ \d{4})?\b )
      | (?P<host> (?<!\.)\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?(?![\w.]) | (?<!:)(?:[0-9a-fA-F]{0,4}:){2,7}[0-9a-fA-F]{1,4}(?![\w.:])
          | (?<![.-])(?:localhost|[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}
              (?<!\.tsx)(?<!\.[jt]s)(?<!\.jsx)(?<!\.[cm]js)(?<!\.py)(?<!\.rs)(?<!\.go)):\d{2,5}\b )
      | (?P<drive> [A-Za-z]:[\\/](?!/)[^\s'"`<>|]+ )
      | (?P<value> (?<=input_value=)[^\]\n<][^\]\n]*?(?=,\ input_type=) )
      | (?P<n> \d+(?:[.,]\d+)*(?:\ ?(?:ms|s|secs?|seconds?|m|mins?|minutes?|h|hours?|days?|[kKMG]i?B|bytes)\b)? )
    )
    | (?P<path> (?<=['"`])(?:~|\.{1,2})?/[^'"`\n]*(?=['"`]) | (?<![\w/.~<>-])~?/[\w.@+%=-]+(?:/[\w.@+%=-]+)*/?
      | (?<!\S)\\\\[\w.-]+\\[^\s'"`<>|]+ )
    | (?P<space> \s{2,} | [\t\n\r] )
    """,
    re.VERBOSE,
)
_EXTENSION: Final = re.compile(r"\.[a-z]{1,5}$")
_CONSTANT: Final = {
    "drop": "",
    "id": "<id>",
    "url": "<url>",
    "host": "<host>",
    "time": "<time>",
    "value": "<value>",
    "n": "<n>",
    "space": " ",
}


def normalise(text: str) -> str:
    """Return a text with placeholders for what varies between occurrences of the same failure; applying it twice changes nothing."""
    return _VOLATILE.sub(_placeholder, _NOISE.sub("", text[:LIMIT])).strip()


def signature(message: str, code: str | None = None) -> str:
    """Return the fingerprint of a message and a code: 12 lower-case hexadecimal characters."""
    return _digest(message[:LIMIT], code or "")


@lru_cache(maxsize=4096)
def _digest(message: str, code: str) -> str:
    text = f"{code}:{normalise(message)[:_MAX_NORMALISED]}"
    return blake2b(text.encode("utf-8", "replace"), digest_size=6).hexdigest()


def _placeholder(match: re.Match[str]) -> str:
    kind = match.lastgroup or ""
    if kind == "keep":
        return match[0]
    if kind in {"path", "drive"}:
        # a missing module and a missing data file differ in their extension, while the folder changes from run to run
        extension = _EXTENSION.search(match[0])
        return f"<path>{extension[0] if extension else ''}"
    return _CONSTANT[kind]

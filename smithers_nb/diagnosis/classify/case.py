"""One error in the form that rules match against: its text, codes, HTTP statuses, exit statuses and error numbers.

`read_case` collects them from the messages, stacks and details of an error, whichever of these names them.
"""

from __future__ import annotations

import json
import re
import signal
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from smithers_nb.diagnosis.classify.rules import known_codes
from smithers_nb.diagnosis.failure.excerpt import shortened
from smithers_nb.diagnosis.failure.origin import waits_for, where_thrown
from smithers_nb.diagnosis.failure.stack import TRACEBACK, python_exception, reads_environment
from smithers_nb.model.vocabulary import SESSION_TURN

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

Where = Literal["workflow", "engine", "library", ""]
"""Whose code threw an error, by the first frame of its stack that shows it; empty when no frame does."""

_MAX_TEXT: Final = 8_000
_NOISE: Final = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\s*See https?://smithers\.sh/reference/errors\S*|(?<=^Task failed: )\S+|\s+")
_CODE_WORD: Final = re.compile(
    r"\b(?:[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+|E[A-Z0-9]{3,}|[A-Za-z_]*(?:Error|Exception|Timeout|Exit|Interrupt)[0-9A-Za-z]*)\b"
)
_COUNTED: Final = (
    r"(?! (?:more |of )?(?:rows?|records?|items?|lines?|files?|bytes?|tokens?|entries|results?|orders?|users?|ms|seconds?"
    r"|times|pages?|events?|tests?|%)\b)"
)
"""Rules out a number that counts something and so is not an HTTP status."""

_UNSET: Final = re.compile(
    r"\b[A-Z][A-Z0-9]*_[A-Z0-9_]*[A-Z0-9] (?:(?:is|was) (?:not (?:set|defined)|unset|missing|empty)|not set|must be set|missing in env)"
)
"""An environment variable by its capital letters, with words that say it has no value."""

_STATUS: Final = re.compile(
    r"\b(?:api error|http(?:/[\d.]+)?(?: status| error)?(?: code)?|status(?:[ _]?code)?|code|answered"
    r"|returned(?: error)?|responded with|response|got)"
    rf"['\"]?[ :=(\[]{{1,3}}([1-5]\d\d)\b(?!\.\d){_COUNTED}"
    r"|\b([45]\d\d) (?:unauthorized|payment required|method not allowed|payload too large|unprocessable|too many requests"
    r"|internal server error|not implemented|bad gateway|service unavailable|gateway time-?out)"
    r"|(?:^|[:;,.|(\[{\"'-] ?|\b(?:error|http|status|response|request|server|upstream|api|returned|answered|with|got|received"
    r"|failed|an?|https?://\S+) )"
    r"([45]\d\d) (?:bad request|forbidden|not found|request timeout|conflict)"
    r"|\b([45]\d\d) status code\b"
    r"|^(?:[\w.]*error: )?([45]\d\d) [\"{a-z]"
)
_EXIT: Final = re.compile(
    r"(?:exit(?:ed|s|ing|[ _-]?\w{4,6})?|\bstatus|\bcode|\breturn(?:ed|[ _-]?code|[ _-]?value)?|\brc|\bestado|\bc[oó]digo|\bcodice|\bstatut"
    r"|\b[ée]tat|\bstato|\bwert|rückgabewert|\b\u043a\u043e\u0434|\b\u0441\u0442\u0430\u0442\u0443\u0441|状态码?|退出码?|代码|コード|\bkod)"
    r"(?: (?:with|value|code|status|de (?:sortie|salida|sa[ií]da|estado)|di (?:uscita|stato)"
    r"|\u0432\u043e\u0437\u0432\u0440\u0430\u0442\u0430|\u0432\u044b\u0445\u043e\u0434\u0430))*['\":=( ]{1,3}(-?\d{1,10})\b(?![.:/]\d)"
)
"""An exit status, in the words of shells and runners in the languages that servers are most often set to."""

_ERRNO: Final = re.compile(r"(?<!npm err! )(?<!npm error )\berrno['\"]?[ :=\]]{1,2}-?(\d{1,5})\b|\(os error (\d{1,5})\)")
"""An error number of the operating system; what npm calls `errno` is the exit status of a script."""

_FIRST_ERROR_STATUS: Final = 400
_QUOTES: Final = {0x2019: "'", 0x2018: "'", 0x201C: '"', 0x201D: '"', 0xA0: " "}
NO_ENGINE: Final = "notebook-cell"
"""Kind of a cell of an executed notebook, which was not run by an engine that could be at fault."""

_OWN_CODE: Final = {SESSION_TURN: "agent", "cell": "compute", "stage": "compute", NO_ENGINE: "compute"}
"""Cells and stages of a notebook are the author's own code, which Smithers calls a compute task."""

_TEXT_DETAILS: Final = ("responseBody", "stderr", "stdout")
_COMMAND: Final = re.compile(
    r"\bCommand '(?:\['(?P<name>[^']*)'.*?\]|.*?)' (?=returned non-zero exit status|died with <Signals|timed out after)", re.DOTALL
)
"""How Python quotes a command that failed; its arguments are the author's words and say nothing about what went wrong."""

_ANSWER_DETAILS: Final = ("text", "response", "textPreview", "answer")


class Case(NamedTuple):
    """Everything known about one error, in the form rules match against.

    Attributes:
        text: Its messages, cleaned and in lower case.
        codes: Error codes and error class names as written, recorded with the error or found in its text.
        thrown: Only the codes recorded with the error, without those that its text quotes.
        status: HTTP statuses.
        exits: Exit statuses of processes; negative where a signal ended one.
        errno: Error numbers of the operating system.
        where: Whose code threw it.
        kind: Kind of the task: `agent`, `compute`, …; empty when unknown.
    """

    text: str
    codes: frozenset[str] = frozenset()
    thrown: frozenset[str] = frozenset()
    status: frozenset[int] = frozenset()
    exits: frozenset[int] = frozenset()
    errno: frozenset[int] = frozenset()
    where: Where = ""
    kind: str = ""


def read_case(messages: Sequence[str], codes: Iterable[str], stacks: Sequence[str], details: Mapping[str, object], kind: str) -> Case:
    """Build the case that rules match against from everything known about one error.

    Args:
        messages: Messages of its cause chain.
        codes: Error codes or error classes recorded with it.
        stacks: Its stacks, innermost cause first.
        details: Everything else recorded with it.
        kind: Kind of the task; empty when unknown.
    """
    printed = [str(details[key]) for key in _TEXT_DETAILS if details.get(key)]
    clean = " | ".join(dict.fromkeys(_clean(text) for text in (*messages, *printed) if text))
    thrown = {word for code in codes for word in (code, code.rpartition(".")[2]) if word}
    thrown |= {python_exception(text).partition(":")[0].rpartition(".")[2] for text in (*messages, *printed) if TRACEBACK in text}
    named = {*thrown, *_CODE_WORD.findall(clean), *_answer_codes(details)}
    if _UNSET.search(clean) or ("KeyError" in thrown and any(map(reads_environment, stacks))):
        named.add("MISSING_VARIABLE")
    if isinstance(details.get("code"), str):
        named.add(str(details["code"]))
    if "TASK_TIMEOUT" in thrown:
        named.update(map(waits_for, stacks))
    text = clean.lower()
    return Case(
        text=text,
        codes=frozenset(named & known_codes()),
        thrown=frozenset(thrown),
        status=frozenset(_statuses(text, details)),
        exits=frozenset(_exits(text, details)),
        errno=frozenset(int(number) for groups in _ERRNO.findall(text) for number in groups if number),
        where=next((where for stack in stacks if (where := where_thrown(stack))), ""),
        kind=_OWN_CODE.get(kind, kind),
    )


def _clean(text: str) -> str:
    cut = _COMMAND.sub(r"Command \g<name> ", text) if "Command '" in text else text
    cut = cut if len(cut) <= _MAX_TEXT else shortened(cut)
    return _NOISE.sub(_noise, cut).strip().translate(_QUOTES)


def _noise(match: re.Match[str]) -> str:
    return " " if match[0].isspace() else ""


def _statuses(text: str, details: Mapping[str, object]) -> Iterator[int]:
    for key in ("statusCode", "status", "httpStatus"):
        value = details.get(key)
        if isinstance(value, int) and value >= _FIRST_ERROR_STATUS:
            yield value
    yield from (int(next(filter(None, groups))) for groups in _STATUS.findall(text))


def _exits(text: str, details: Mapping[str, object]) -> Iterator[int]:
    for key in ("exitCode", "status"):
        value = details.get(key)
        if isinstance(value, int) and not isinstance(value, bool) and value < _FIRST_ERROR_STATUS:
            yield value
    name = str(details.get("signal") or "")
    if name in signal.Signals.__members__ and not details.get("killed") and details.get("code") != "ETIMEDOUT":  # Node: its caller sent it
        yield -signal.Signals[name]
    yield from map(int, _EXIT.findall(text))


def _answer_codes(details: Mapping[str, object]) -> Iterator[str]:
    """Yield the code for what a rejected answer looks like: complete JSON that breaks the schema, or JSON cut off in the middle."""
    answer = next((str(details[key]).strip() for key in _ANSWER_DETAILS if details.get(key)), "")
    if answer[:1] not in {"{", "["}:
        return
    try:
        json.loads(answer)
    except ValueError:
        yield "ANSWER_CUT_OFF"
    else:
        yield "ANSWER_WHOLE_JSON"

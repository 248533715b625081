"""Whose code threw an error, or what it waited for: read off the first frames of its stack that tell."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from smithers_nb.diagnosis.failure.stack import stack_frames

if TYPE_CHECKING:
    from smithers_nb.diagnosis.classify.case import Where

_STACK_CHARS: Final = 20_000


def where_thrown(stack: str) -> Where:
    """Distinguish whose code threw; `workflow` also when a library was called by it, empty without a frame that tells."""
    found: Where = ""
    for frame in stack_frames(stack[:_STACK_CHARS]):
        if "/effect/" in frame.file:
            continue  # every task runs inside this library, whoever threw
        if frame.is_engine:
            return found or "engine"
        if frame.is_own:
            return "workflow"
        found = "library"
    return found


_WAITS: Final = (
    (
        "WAITS_FOR_NETWORK",
        r"(?:socket|ssl|sslproto)\.py$|/(?:http|urllib\d?|requests|httpx|httpcore|aiohttp|grpc|botocore|psycopg2?|pymysql|redis|pymongo"
        r"|openai|anthropic|ftplib|smtplib|paramiko)(?:/|\.py$)",
    ),
    ("WAITS_FOR_PROCESS", r"/(?:subprocess\.py|pexpect/|multiprocessing/|concurrent/futures/)"),
)
"""What code waits for, by the files of the libraries that it waits in."""


def waits_for(stack: str) -> str:
    """Return what code waited for whose time was up, in a word that rules ask for; empty when it was at work itself, or nothing tells."""
    files = []
    for frame in stack_frames(stack[:_STACK_CHARS]):
        if frame.is_own:
            break
        files.append(frame.file)
    return next((word for word, pattern in _WAITS if any(re.search(pattern, file) for file in files)), "")

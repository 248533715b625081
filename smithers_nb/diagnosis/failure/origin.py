"""Whose code threw an error, or what the code was waiting for, as the first frames of its stack show."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from smithers_nb.diagnosis.failure.stack import stack_frames

if TYPE_CHECKING:
    from smithers_nb.diagnosis.classify.case import Where

_MAX_STACK: Final = 20_000


def where_thrown(stack: str) -> Where:
    """Return whose code threw an error; `workflow` also when it called the library that threw, empty when no frame shows it."""
    thrower: Where = ""
    for frame in stack_frames(stack[:_MAX_STACK]):
        if "/effect/" in frame.file:
            continue  # every task runs inside this library, so its frames say nothing
        if frame.is_engine:
            return thrower or "engine"
        if frame.is_own:
            return "workflow"
        thrower = "library"
    return thrower


_WAITS: Final = (
    (
        "WAITS_FOR_NETWORK",
        r"(?:socket|ssl|sslproto)\.py$|/(?:http|urllib\d?|requests|httpx|httpcore|aiohttp|grpc|botocore|psycopg2?|pymysql|redis|pymongo"
        r"|openai|anthropic|ftplib|smtplib|paramiko)(?:/|\.py$)",
    ),
    ("WAITS_FOR_PROCESS", r"/(?:subprocess\.py|pexpect/|multiprocessing/|concurrent/futures/)"),
)
"""The rule code for what code waits for, and the files of the libraries in which it waits."""


_SOCKET_CALL: Final = re.compile(r"\.(?:recv|recv_into|recvfrom|recvmsg|accept)\(")
"""The line of own code that waits in a method of a socket, which is written in C and leaves no frame of its own."""


def waits_for(stack: str) -> str:
    """Return the rule code for what timed-out code was waiting for; empty when it was working itself or the stack does not show it."""
    files = []
    for frame in stack_frames(stack[:_MAX_STACK]):
        if frame.is_own:
            break
        files.append(frame.file)
    if not files and _SOCKET_CALL.search(stack.rstrip().rpartition("\n")[2]):
        return "WAITS_FOR_NETWORK"
    return next((word for word, pattern in _WAITS if any(re.search(pattern, file) for file in files)), "")

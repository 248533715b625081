"""The tree of errors: each says what happened, what to do, and what a program needs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from smithers_nb import errors
from smithers_nb.errors import (
    AmbiguousRunId,
    BugReportEmpty,
    BugReportNotSent,
    BugReportUnread,
    NotebookError,
    ParameterError,
    ReportError,
    RunNotFound,
    SmithersNbError,
    SourceMoved,
    SourceNotFound,
    SourceUnreadable,
)

EACH = [
    (SourceNotFound("m", searched=["/a", "/b"], hint="h"), 4, {"searched": ("/a", "/b")}),
    (SourceUnreadable("m", hint="h"), 4, {}),
    (SourceMoved("m", backend="pglite", where="/x", hint="h"), 4, {"backend": "pglite", "where": "/x"}),
    (RunNotFound("m", hint="h"), 4, {"code": "RUN_NOT_FOUND"}),
    (AmbiguousRunId("m", candidates=["r1", "r2"], hint="h"), 4, {"candidates": ("r1", "r2")}),
    (ParameterError("m", hint="h"), 4, {}),
    (NotebookError("m", notebook=Path("n"), report=Path("r"), hint="h"), 1, {"notebook": Path("n"), "report": Path("r")}),
    (ReportError("m", hint="h"), 1, {}),
    (BugReportEmpty("m", hint="h"), 4, {"code": "BUG_REPORT_EMPTY"}),
    (BugReportUnread("m", hint="h"), 4, {"code": "BUG_REPORT_RUN_UNREADABLE"}),
    (BugReportNotSent("m", saved=Path("s"), hint="h"), 1, {"code": "BUG_REPORT_POST_FAILED", "saved": Path("s")}),
]


@pytest.mark.parametrize(("error", "code", "attributes"), EACH, ids=lambda value: type(value).__name__)
def test_an_error_keeps_what_it_was_told(error: SmithersNbError, code: int, attributes: dict[str, object]) -> None:
    """Message, hint, exit code and attributes are there for callers, and a traceback shows the hint as well."""
    assert (str(error), error.hint, error.exit_code, error.__notes__) == ("m", "h", code, ["hint: h"])
    assert {name: getattr(error, name) for name in attributes} == attributes


def test_no_hint_is_no_note() -> None:
    """An error without a hint adds no empty line to a traceback."""
    error = ReportError("m")
    assert (error.hint, getattr(error, "__notes__", [])) == ("", [])


def test_the_tree_is_drawn_whole() -> None:
    """The drawing in the module's docstring has every error once, below the one that it derives from."""
    drawn, above = {}, {}
    for line in (errors.__doc__ or "").splitlines():
        if found := re.match(r"([│├└─ ]*)([A-Z]\w+)", line):
            level = len(found[1]) // 4
            above[level] = found[2]
            drawn[found[2]] = above[level - 1] if level else "Exception"
    told = {name: kind.__base__.__name__ for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)}
    assert {name: base for name, base in drawn.items() if name in told} == told

"""File a report that somebody agreed to send, or keep it: nothing of what a person wrote or decided is lost with a connection."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, Final

import orjson

from smithers_nb.artifacts import write_whole
from smithers_nb.errors import BugReportNotSent
from smithers_nb.model.bug_report import BugFiled, BugSaved
from smithers_nb.sources.smithers.journal import FOLDER
from smithers_nb.sources.smithers.migrated import ANCHOR, STORE
from smithers_nb.sources.stores.json_text import as_object
from smithers_nb.workflows.bugs.endpoint import TIMEOUT_S, send
from smithers_nb.workflows.bugs.report import written

_REPORTS: Final = "bug-reports"
_FILED: Final = "filed-bugs"
"""Folder beside the reports that are kept: what was filed, or is being sent, one file per bug."""

_UNKNOWN: Final = "another process sends it, or died while it did: whether it arrived is not known, so it is not sent twice"


def file_bug(  # noqa: PLR0913  # all but one are options by name
    payload: dict[str, Any], *, endpoint: str, root: Path, words: str = "", again: bool = False, timeout_s: float = TIMEOUT_S
) -> BugFiled | BugSaved:
    """Send a report, once; when it is not taken, keep it in a private file of the project. Call it only after somebody agreed.

    A failure of one run is one bug: where it was filed already, by whichever autopsy, that is the answer and nothing is sent.

    Args:
        payload: Exactly what was shown.
        endpoint: Where that person agreed to send it.
        root: Folder of the project.
        words: What a person wrote themselves; other words make another report.
        again: Send it although it was filed, or may have arrived.
        timeout_s: Seconds for the whole request.
    """
    mark = _mark(payload, endpoint, words, root)
    if again and mark:
        _forget(mark)
    earlier = _taken(mark) if mark else None
    if earlier is not None:
        if earlier.get("id"):
            return BugFiled(id=str(earlier["id"]), url=earlier.get("url"), endpoint=endpoint, earlier=True)
        return BugSaved(reason=_UNKNOWN, path=_saved(payload, root), endpoint=endpoint)
    try:
        filed = send(written(payload), endpoint, timeout_s=timeout_s)
    except BugReportNotSent as error:
        if mark:
            _forget(mark)
        return BugSaved(reason=str(error), path=_saved(payload, root), endpoint=endpoint)
    if mark:
        with suppress(OSError):  # it is filed, whether or not that can be remembered
            write_whole(mark, orjson.dumps({"id": filed.id, "url": filed.url}), private=True)
    return filed


def save_bug(payload: dict[str, Any], *, root: Path) -> str | None:
    """Keep a report that goes nowhere in a private file of the project, and give its path; None when it could not be written."""
    return _saved(payload, root)


def _mark(payload: dict[str, Any], endpoint: str, words: str, root: Path) -> Path | None:
    """Name the file that says that a bug was filed: one for a run, what it failed on, and what somebody wrote about it."""
    run = payload.get("run")
    if not isinstance(run, dict):
        return None
    about = orjson.dumps([endpoint, run.get("runId"), run.get("error"), words])
    return reports_folder(root).with_name(_FILED) / f"{hashlib.blake2b(about, digest_size=16).hexdigest()}.json"


def _forget(mark: Path) -> None:
    with suppress(OSError):
        mark.unlink(missing_ok=True)
        mark.parent.rmdir()  # which the last one leaves empty


def _taken(mark: Path) -> dict[str, Any] | None:
    """Take a bug for sending; what is known of it when somebody else has it. A folder that cannot be written to stops nobody."""
    try:
        mark.parent.mkdir(parents=True, exist_ok=True)
        with mark.open("xb"):
            return None
    except FileExistsError:
        with suppress(OSError):
            return as_object(mark.read_bytes())
        return {}
    except OSError:
        return None


def project_folder(location: str | None) -> Path:
    """Find the folder of the project that a store belongs to; for a database on a server, or no store, the current one.

    Args:
        location: `Source.location`.
    """
    if location is None or not Path(location).exists():
        return Path()
    here = Path(location).absolute()
    folder = here if here.is_dir() else here.parent
    return folder.parent if folder.name in {ANCHOR, FOLDER} else folder


def reports_folder(root: Path) -> Path:
    """Name the folder that keeps reports: Smithers' own in a project of its, ours elsewhere."""
    theirs = (root / ANCHOR).is_dir() or (root / STORE).is_file()
    return root / (ANCHOR if theirs else FOLDER) / _REPORTS


def _saved(payload: dict[str, Any], root: Path) -> str | None:
    try:
        path = _free_name(reports_folder(root))
        write_whole(path, written(payload, pretty=True) + b"\n", private=True)
    except OSError:
        return None
    return str(path)


def _free_name(folder: Path) -> Path:
    """Name a file after this moment, as Smithers does, and number it when there is one already."""
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%S-%f")[:-3] + "Z"
    names = (folder / f"{stamp}{f'-{number}' if number else ''}.json" for number in count())
    return next(name for name in names if not name.exists())

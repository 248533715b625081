"""Files a report that a person agreed to send, or saves it, so that nothing they wrote is lost with a connection."""

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
"""Folder next to the saved reports, with one file per bug that was filed or is being sent."""

_UNKNOWN: Final = "another process is sending it, or died while sending: it is unknown whether it arrived, so it is not sent twice"


def file_bug(  # noqa: PLR0913  # all but one are options by name
    payload: dict[str, Any], *, endpoint: str, root: Path, words: str = "", again: bool = False, timeout_s: float = TIMEOUT_S
) -> BugFiled | BugSaved:
    """Send a report once, or save it in a private file of the project when that fails. Call this only after a person has agreed.

    A failure of one run is one bug: if any autopsy filed it before, that filing is returned and nothing is sent.

    Args:
        payload: Exactly what was shown.
        endpoint: The address the person agreed to.
        root: Folder of the project.
        words: Text a person added; different text makes a different report.
        again: Send it even if it was filed, or may have arrived.
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
        with suppress(OSError):  # it is filed even if that cannot be remembered
            write_whole(mark, orjson.dumps({"id": filed.id, "url": filed.url}), private=True)
    return filed


def save_bug(payload: dict[str, Any], *, root: Path) -> str | None:
    """Save a report in a private file of the project without sending it; return its path, None when it could not be written."""
    return _saved(payload, root)


def _mark(payload: dict[str, Any], endpoint: str, words: str, root: Path) -> Path | None:
    """Return the marker file of a bug, identified by address, run, error and added text; None without a run."""
    run = payload.get("run")
    if not isinstance(run, dict):
        return None
    about = orjson.dumps([endpoint, run.get("runId"), run.get("error"), words])
    return reports_folder(root).with_name(_FILED) / f"{hashlib.blake2b(about, digest_size=16).hexdigest()}.json"


def _forget(mark: Path) -> None:
    with suppress(OSError):
        mark.unlink(missing_ok=True)
        mark.parent.rmdir()  # succeeds only when no marker is left


def _taken(mark: Path) -> dict[str, Any] | None:
    """Claim a bug for sending: None when claimed, else what its marker says. Without a writable folder every claim succeeds."""
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
    """Return the project folder of a store; the current folder for a database on a server, or without a store.

    Args:
        location: `Source.location`.
    """
    if location is None or not Path(location).exists():
        return Path()
    here = Path(location).absolute()
    folder = here if here.is_dir() else here.parent
    return folder.parent if folder.name in {ANCHOR, FOLDER} else folder


def reports_folder(root: Path) -> Path:
    """Return the folder for saved reports: Smithers' own in a Smithers project, else ours."""
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
    """Return an unused file name with the current time, in Smithers' format, numbered if necessary."""
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%S-%f")[:-3] + "Z"
    names = (folder / f"{stamp}{f'-{number}' if number else ''}.json" for number in count())
    return next(name for name in names if not name.exists())

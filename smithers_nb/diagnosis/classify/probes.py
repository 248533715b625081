"""Checks on this machine of what an error complains about: a command, a variable, a path, disk space, a port, a repository.

Only what the error names is checked. Nothing is started, opened or sent: a file is checked for existence and permissions and never
read, and a variable only for being set. The result is true here and now, so each observation says whether the run's project folder is
on this machine at all.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from smithers_nb.model.verdict import Observation

if TYPE_CHECKING:
    from smithers_nb.model.verdict import Failure

_MAX_COUNT: Final = 5
_MAX_PATH: Final = 1024
_MAX_TEXT: Final = 8_000
_COMMANDS: Final = (
    re.compile(r"(?:spawn|posix_spawn) '?(?P<name>[\w.+-]{1,64})'? ENOENT"),
    re.compile(r"(?P<name>[\w.+-]{1,64}): (?:command )?not found\b(?!:)"),
    re.compile(r"command not found: (?P<name>[\w.+-]{1,64})"),
    re.compile(r"\b(?![Ee]xecutable\b|[Cc]ommand\b)(?P<name>[\w.+-]{1,64})'? (?:is )?not found (?:on|in) (?:your )?\$?PATH"),
    re.compile(r"[Ee]xecutable not found in \$PATH: \"?(?P<name>[\w.+-]{1,64})"),
    re.compile(r"'(?P<name>[\w.+-]{1,64})' is not recognized as an internal or external command"),
)
_SETTING: Final = r"\b(?P<name>[A-Z][A-Z0-9_]*_(?:KEY|TOKEN|SECRET|PASSWORD|URL|HOST|DSN))"
_VARIABLES: Final = (
    re.compile(r"\b(?P<name>[A-Z][A-Z0-9]*_[A-Z0-9_]{1,60}) (?:environment variable|env(?:ironment)? var)"),
    re.compile(r"(?:environment variable|env(?:ironment)? var(?:iable)?)s?:? [`'\"$]*(?P<name>[A-Z][A-Z0-9]*_[A-Z0-9_]{1,60})"),
    re.compile(r"process\.env\.(?P<name>[A-Za-z_]\w{1,60})"),
    re.compile(rf"{_SETTING}['\"`]? (?:is )?(?:missing|unset|not set|required|undefined)"),
    re.compile(rf"(?:[Mm]issing|[Ss]et|[Rr]equires?) [`'\"$]*{_SETTING}\b"),
)
_PATHS: Final = (
    re.compile(r"\b(?:ENOENT|EACCES|EPERM|ENOTDIR|EISDIR|EROFS|ENOSPC)\b[^'\"\n]{0,120}(?P<q>['\"])(?P<name>[^\n]{1,1024}?)(?P=q)"),
    re.compile(r"No such file or directory: (?P<q>['\"])(?P<name>[^\n]{1,1024}?)(?P=q)"),
    re.compile(r"[Pp]ermission denied: ['\"]?(?P<name>/[^'\"\n:]{1,1024})"),
    re.compile(r"(?P<name>/[^\s:'\"]{1,1024}): (?:No such file or directory|Permission denied)"),
    re.compile(r"Cannot find module '(?P<name>/[^'\n]{1,1024})'"),
)
_PORTS: Final = (
    re.compile(r"EADDRINUSE\D{0,60}?(?:127\.0\.0\.1|localhost|\[?::1?\]?|0\.0\.0\.0)?:+(?P<name>\d{2,5})\b"),
    re.compile(r"[Pp]ort (?P<name>\d{2,5}) (?:is )?(?:already )?in use"),
    re.compile(r"ECONNREFUSED (?:127\.0\.0\.1|localhost|\[?::1\]?):(?P<name>\d{2,5})\b"),
)
_PATH_CODES: Final = frozenset({"ENOENT", "EACCES", "EPERM", "ENOTDIR", "EISDIR", "EROFS", "ENOSPC"})
_NO_SPACE: Final = re.compile(r"\bENOSPC\b|\bEDQUOT\b|[Nn]o space left|disk is full|[Dd]isk quota exceeded")
_NO_REPOSITORY: Final = re.compile(r"not a git repository|VCS_NOT_FOUND|WORKTREE_CREATE_FAILED|no (?:git|jj|VCS) repository", re.IGNORECASE)
_REFUSED: Final = re.compile(r"\bECONNREFUSED\b")
_LISTENING: Final = "0A"


class Complaint(NamedTuple):
    """The parts of an error that a probe needs.

    Attributes:
        text: All messages of its chain.
        code: Its code.
        path: The path recorded next to its message.
        root: Project folder of the run, if it is on this machine.
    """

    text: str
    code: str
    path: str | None
    root: Path | None


Check = Callable[[Complaint], Iterator[tuple[str, str, bool | None]]]
"""Yields what was checked, the result in words, and whether it confirms the error."""


def probe(failure: Failure, *, root: str | None = None, enabled: bool = True) -> tuple[Observation, ...]:
    """Check on this machine what a failure complains about.

    Args:
        failure: The failure; only what its messages and details name is checked.
        root: Project folder of the run, as recorded in the store.
        enabled: Whether to check anything at all.

    Returns:
        At most five observations; none when the error names nothing that can be checked.
    """
    if not enabled:
        return ()
    here = _folder(root)
    text = "\n".join(link.message for link in failure.chain)[:_MAX_TEXT]
    named = failure.details.get("path")
    complaint = Complaint(text, failure.code or "", named if isinstance(named, str) else None, here)
    observations: dict[tuple[str, str], Observation] = {}
    for about, check in _CHECKS:
        for subject, what, confirms in check(complaint):
            observation = Observation(
                about=about, subject=subject, text=f"now, on this machine: {what}", confirms=confirms, meaningful=here is not None
            )
            observations.setdefault((about, subject), observation)
    return tuple(observations.values())[:_MAX_COUNT]


def _commands(complaint: Complaint) -> Iterator[tuple[str, str, bool | None]]:
    for name in _named(_COMMANDS, complaint.text):
        program = shutil.which(name)
        yield name, f"{name} is {f'at {program}' if program else 'not on PATH'}", program is None


def _variables(complaint: Complaint) -> Iterator[tuple[str, str, bool | None]]:
    for name in _named(_VARIABLES, complaint.text):
        is_set = bool(os.environ.get(name))
        yield name, f"the variable {name} is {'set' if is_set else 'not set'} in this process", not is_set


def _paths(complaint: Complaint) -> Iterator[tuple[str, str, bool | None]]:
    denied = "EACCES" in complaint.code + complaint.text or "ermission denied" in complaint.text
    for path in _paths_named(complaint):
        try:
            if not path.exists():
                yield str(path), f"{path} does not exist", None if denied else True
                continue
            kind = "folder" if path.is_dir() else "file"
            rights = {"readable": os.R_OK, "writable": os.W_OK, "executable": os.X_OK}
            access = [word if os.access(path, right) else f"not {word}" for word, right in rights.items()]
        except (OSError, ValueError):
            continue
        yield str(path), f"the {kind} {path} exists ({', '.join(access)})", any(a.startswith("not ") for a in access) if denied else False


def _space(complaint: Complaint) -> Iterator[tuple[str, str, bool | None]]:
    if not _NO_SPACE.search(f"{complaint.code} {complaint.text}"):
        return
    for path in (*_paths_named(complaint), *([complaint.root] if complaint.root else [])):
        folder = next((p for p in (path, *path.parents) if _folder(str(p))), None)
        if folder is None:
            continue
        try:
            use = shutil.disk_usage(folder)
        except OSError:
            continue
        yield str(folder), f"{folder} has {use.free / 2**30:.1f} of {use.total / 2**30:.1f} GiB free", None
        return


def _ports(complaint: Complaint) -> Iterator[tuple[str, str, bool | None]]:
    refused = bool(_REFUSED.search(f"{complaint.code} {complaint.text}"))
    for port in _named(_PORTS, complaint.text):
        listening = _is_listening(int(port))
        if listening is not None:
            what = "something listens" if listening else "nothing listens"
            yield port, f"{what} on port {port}", listening != refused


def _repository(complaint: Complaint) -> Iterator[tuple[str, str, bool | None]]:
    if complaint.root is None or not _NO_REPOSITORY.search(f"{complaint.code} {complaint.text}"):
        return
    try:
        kinds = [kind for kind in (".git", ".jj") if any((p / kind).exists() for p in (complaint.root, *complaint.root.parents))]
    except OSError:
        return
    state = f"is in a {' and '.join(kind[1:] for kind in kinds)} repository" if kinds else "is in no git or jj repository"
    yield str(complaint.root), f"{complaint.root} {state}", not kinds


_CHECKS: Final[tuple[tuple[str, Check], ...]] = (
    ("command", _commands),
    ("variable", _variables),
    ("path", _paths),
    ("disk", _space),
    ("port", _ports),
    ("repository", _repository),
)


def _named(patterns: Iterable[re.Pattern[str]], text: str) -> list[str]:
    """Return what patterns find in a text, without duplicates and in the order of the patterns."""
    names = [match["name"] for pattern in patterns for match in pattern.finditer(text)]
    return list(dict.fromkeys(names))[:_MAX_COUNT]


def _paths_named(complaint: Complaint) -> list[Path]:
    """Return the paths that an error names; a relative one is resolved against the run's own folder and may not leave it."""
    names = _named(_PATHS, complaint.text)
    if complaint.path and (complaint.code in _PATH_CODES or any(code in complaint.text for code in _PATH_CODES)):
        names.append(complaint.path)
    paths: list[Path] = []
    for name in dict.fromkeys(names):
        if "\0" in name or name.startswith("//") or len(name) > _MAX_PATH:
            continue
        path = Path(name)
        if not path.is_absolute():
            if complaint.root is None or ".." in path.parts or "/" not in name:
                continue
            path = complaint.root / path
        paths.append(path)
    return paths


def _is_listening(port: int) -> bool | None:
    """Return whether a process listens on a port, by the kernel's own table; None where there is no such table."""
    tables = [Path("/proc/net/tcp"), Path("/proc/net/tcp6")]
    try:
        lines = [line.split() for table in tables if table.exists() for line in table.read_text("ascii").splitlines()[1:]]
    except (OSError, ValueError):
        return None
    if not any(table.exists() for table in tables):
        return None
    return any(cells[3] == _LISTENING and int(cells[1].rpartition(":")[2], 16) == port for cells in lines)


def _folder(name: str | None) -> Path | None:
    try:
        return Path(name) if name and Path(name).is_dir() else None
    except (OSError, ValueError):
        return None

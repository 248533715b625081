"""Writes artifacts to a folder, or to any URL that fsspec knows: `s3://…`, `gs://…`, `sftp://…`, `file:///…`, `memory://…`.

`put` takes the destination, the run and the content, and returns the artifact's address. Writes are atomic: a file system that can rename
gets a temporary file first, an object store writes objects atomically anyway. A folder is written without fsspec.
"""

from __future__ import annotations

import re
import secrets
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from smithers_nb.artifacts import artifact_path, safe_name, write_whole
from smithers_nb.errors import ArtifactsNotWritten, ParameterError
from smithers_nb.redact import redact, short_line
from smithers_nb.sources.urls import without_secrets

if TYPE_CHECKING:
    from collections.abc import Callable

_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+(?:://|::)")
_PACKAGE: Final = re.compile(r"""\b(?:[Ii]nstall|module named|requires) ['"]?([A-Za-z][\w.-]*)""")
_ARCHIVES: Final = frozenset({"zip", "tar", "libarchive", "reference"})
"""Schemes of archives, which only one process at a time can write."""

_WAITS_S: Final = (0.5, 2.0)
"""Seconds before the second and third try; network stores fail occasionally."""

_FINAL: Final = (NotImplementedError, PermissionError, IsADirectoryError, NotADirectoryError, ValueError, TypeError)
"""Errors that another try does not change."""

_MAX_LENGTH: Final = 300


def is_url(artifacts: str | Path) -> bool:
    """Return whether a destination is a URL rather than a folder."""
    return isinstance(artifacts, str) and _URL.match(artifacts) is not None


def put(artifacts: str | Path, kind: str, run_id: str, suffix: str, content: bytes) -> str:
    """Write one artifact of a run, replacing an earlier one.

    Args:
        artifacts: Folder or URL.
        kind: Folder in it, such as `autopsy`.
        run_id: Run id, which is untrusted.
        suffix: File suffix, such as `.html`.
        content: The whole content.

    Returns:
        Its path or URL, without secrets.

    Raises:
        ParameterError: fsspec does not know the URL's scheme, or its package is not installed.
        ArtifactsNotWritten: It could not be written; an earlier one is untouched.
    """
    if not is_url(artifacts):
        path = artifact_path(Path(artifacts), safe_name(kind), run_id, suffix)
        try:
            write_whole(path, content)
        except OSError as error:
            raise _not_written(str(path), error) from error
        return str(path)
    location, name = address(artifacts, kind, run_id, suffix), artifact_path(Path(), safe_name(kind), run_id, suffix).as_posix()
    _with_patience(lambda: _write(*_file_system(str(artifacts)), name, content), location)
    return location


def discard(artifacts: str | Path, kind: str, run_id: str, suffix: str) -> None:
    """Delete an artifact that another has replaced; a missing or unreachable one is ignored."""
    with suppress(Exception):
        if not is_url(artifacts):
            artifact_path(Path(artifacts), safe_name(kind), run_id, suffix).unlink(missing_ok=True)
            return
        files, root = _file_system(str(artifacts))
        files.rm_file(f"{root.rstrip('/')}/{artifact_path(Path(), safe_name(kind), run_id, suffix).as_posix()}")


def address(artifacts: str | Path, kind: str, run_id: str, suffix: str) -> str:
    """Return the path or URL of an artifact, without secrets."""
    if is_url(artifacts):
        return f"{folder_of(artifacts, kind)}/{safe_name(run_id)}{suffix}"
    return str(artifact_path(Path(artifacts), safe_name(kind), run_id, suffix))


def folder_of(artifacts: str | Path, kind: str) -> str:
    """Return the folder or URL of all artifacts of a kind, without secrets."""
    if not is_url(artifacts):
        return str(Path(artifacts) / safe_name(kind))
    begin = redact(without_secrets(str(artifacts)))
    return f"{begin}{'' if begin.endswith('/') else '/'}{safe_name(kind)}"


def check(artifacts: str | Path) -> None:
    """Check, before any work is done, that artifacts can be written there.

    Raises:
        ParameterError: fsspec does not know the URL's scheme, or its package is not installed.
        ArtifactsNotWritten: Its server cannot be reached.
    """
    if is_url(artifacts):
        _with_patience(lambda: _file_system(str(artifacts)), redact(without_secrets(str(artifacts))))


def _file_system(url: str) -> tuple[Any, str]:
    """Return the file system of a URL and the path in it; fsspec is imported only here."""
    scheme = re.split(r"://|::", url, maxsplit=1)[0].lower()
    if scheme in _ARCHIVES:
        raise ParameterError(f"{scheme}: is an archive, which several runs cannot write", hint="name a folder or an object store")
    import fsspec

    try:
        return fsspec.core.url_to_fs(url)  # type: ignore[no-any-return]  # it has no types
    except ImportError as error:
        found = _PACKAGE.search(str(error))
        missing = found[1] if found else scheme
        raise ParameterError(f"{scheme}: needs the package {missing}, which is not installed", hint=f"pip install {missing}") from None
    except ValueError as error:
        known = "a folder, or a URL such as s3://BUCKET/FOLDER, gs://…, abfs://…, sftp://…, file:///…"
        raise ParameterError(f"artifacts cannot go to {redact(without_secrets(url))}: {_in_a_line(error)}", hint=f"give {known}") from None


def _write(files: Any, root: str, name: str, content: bytes) -> None:
    from fsspec.spec import AbstractFileSystem

    path = f"{root.rstrip('/')}/{name}"
    if type(files).mv is AbstractFileSystem.mv:  # an object store: it cannot rename, only copy and delete
        files.pipe_file(path, content)
        return
    folder = path.rpartition("/")[0]
    temporary = f"{folder}/.{secrets.token_hex(8)}.part"
    files.makedirs(folder, exist_ok=True)
    try:
        files.pipe_file(temporary, content)
        files.mv(temporary, path)
    except BaseException:
        with suppress(Exception):
            files.rm_file(temporary)
        raise


def _with_patience(step: Callable[[], object], location: str) -> None:
    for wait in (*_WAITS_S, None):
        try:
            step()
        except ParameterError:
            raise
        except Exception as error:  # noqa: BLE001  # each file system has its own errors
            if wait is None or isinstance(error, _FINAL):
                raise _not_written(location, error) from None
            time.sleep(wait)
        else:
            return


def _not_written(location: str, error: Exception) -> ArtifactsNotWritten:
    return ArtifactsNotWritten(
        f"{location} could not be written: {_in_a_line(error)}", hint="check that this machine may write there, or name another place"
    )


def _in_a_line(error: Exception) -> str:
    text = (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
    return short_line(text, _MAX_LENGTH)

"""Where the files that are not code lie: notebooks, templates, the example store.

In a checkout they are the folders beside the package; an installed wheel has them in `share/smithers_nb` of wherever it was
installed to: an environment, a person's home (`--user`), any folder (`--target`, `--prefix`).
"""

from __future__ import annotations

import sys
import sysconfig
from contextlib import suppress
from pathlib import Path
from typing import Final

_CHECKOUT = Path(__file__).resolve().parent.parent
_ABOVE = (_CHECKOUT, *_CHECKOUT.parents)[:4]  # from site-packages up to what holds lib/python3.x
_INSTALLED = tuple(place / "share" / "smithers_nb" for place in (*_ABOVE, Path(sysconfig.get_path("data"))))


def resource(name: str) -> Path:
    """Find a file or folder by its path below the project root, such as `notebooks/autopsy.ipynb`.

    Raises:
        FileNotFoundError: The installation is incomplete.
    """
    for root in (_CHECKOUT, *_INSTALLED):
        if (root / name).exists():
            return root / name
    raise FileNotFoundError(f"{name} is neither in {_CHECKOUT} nor in {_INSTALLED[-1]}; reinstall smithers-nb")


EXAMPLE_RUN: Final = "order-sync-013"
"""The failed run of the example store with most to tell: an earlier good run, what changed since, the line that threw, a history."""


def example_store() -> Path:
    """Unpack the example store, a database really written by Smithers: sixty runs of five workflows.

    Returns:
        Its `smithers.db`, in a private copy below the user's cache folder; the workflows lie beside it in `workflows/`.

    Raises:
        FileNotFoundError: The installation is incomplete.
    """
    import gzip
    import hashlib
    import shutil

    from smithers_nb.private_folder import PrivateFolder

    packed = resource("templates/example/smithers.db.gz")
    content = packed.read_bytes()
    name = f"example-{hashlib.sha256(content).hexdigest()[:12]}"
    folder = _cache_folder() / name
    if (folder / "smithers.db").is_file():
        return folder / "smithers.db"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with PrivateFolder(folder.parent) as scratch:
        making = scratch / name
        making.mkdir()
        (making / "smithers.db").write_bytes(gzip.decompress(content))
        shutil.copytree(packed.parent / "workflows", making / "workflows")
        with suppress(OSError):
            making.rename(folder)  # whole or not at all, also when two processes do it at once
    return folder / "smithers.db"


def _cache_folder() -> Path:
    """Return the cache folder; a private temporary folder when the home folder is not writable."""
    import os

    cache = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))  # noqa: PTH111  # a user without a home is no error
    writable = next((p for p in (cache, *cache.parents) if p.exists()), cache)
    if cache.is_absolute() and writable.is_dir() and os.access(writable, os.W_OK):
        return cache / "smithers-nb"
    return _temporary_cache()


def _temporary_cache() -> Path:
    """Make a folder that is the same at the next call, unless somebody else has taken its name."""
    import os
    import stat
    import tempfile

    user = os.getuid() if sys.platform != "win32" else 0  # on Windows temporary files are each user's own
    folder = Path(tempfile.gettempdir(), f"smithers-nb-{user}")
    with suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        mine = sys.platform == "win32" or (found.st_uid == user and not found.st_mode & 0o022)
        if stat.S_ISDIR(found.st_mode) and mine:
            return folder
    return Path(tempfile.mkdtemp(prefix="smithers-nb-"))

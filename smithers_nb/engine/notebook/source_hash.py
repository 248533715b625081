"""Hashes the source of a notebook, to detect whether it has changed.

The source is its code cells in order, and the local modules that they import. Outputs, metadata, execution counts, markdown and empty cells
do not count, so running or saving a notebook is not an edit. Modules are found by parsing, never by importing: next to the notebook and in
its working directory, then transitively; our own package counts by its version. Changes to `sys.path` in a cell are not followed.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from smithers_nb._version import __version__
from smithers_nb.engine.notebook.file import code_cells
from smithers_nb.errors import ParameterError

ENTRY: Final = "workflow entry file changed"
MODULES: Final = "workflow module graph changed"
UNAVAILABLE: Final = "workflow entry hash unavailable"
"""Smithers' labels for what does not match."""

_OURS: Final = "smithers_nb"
_MAGIC: Final = re.compile(r"^(\s*)[%!?].*$|^(\s*)\S.*\?$", re.MULTILINE)
_IMPORT: Final = re.compile(r"^\s*(?:from\s+([.\w]+)\s+import\s+([\w, ]+)|import\s+([\w., ]+))", re.MULTILINE)


@dataclass(frozen=True)
class Source:
    """The source of a notebook at one moment.

    Attributes:
        cells: Digest of each code cell that is not empty, by its id or `cell-N`, in order; None when the notebook cannot be read.
        modules: Digest of each local module by its path relative to where it was found; `smithers_nb` with its version.
        files: The modules' files.
    """

    cells: dict[str, str] | None
    modules: dict[str, str] = field(default_factory=dict)
    files: tuple[Path, ...] = ()

    @property
    def hash(self) -> str:
        """The digest of the cells, a dot, and the digest of the modules; empty when the notebook cannot be read."""
        if self.cells is None:
            return ""
        return f"{_digest(*self.cells.values())}.{_digest(*(part for pair in sorted(self.modules.items()) for part in pair))}"


def source_of(notebook: Path, cwd: Path | None = None) -> Source:
    """Read the source of a notebook.

    Args:
        notebook: Its file; a missing or damaged one gives a source without cells.
        cwd: Its working directory, where modules are searched as well.
    """
    try:
        cells = {name: text for name, source in code_cells(notebook).items() if (text := source.replace("\r\n", "\n").rstrip())}
    except ParameterError:
        return Source(None)
    found = _Modules(list(dict.fromkeys(folder.absolute() for folder in (cwd, notebook.parent) if folder is not None)))
    for text in cells.values():
        found.follow(_imports(text))
    return Source({name: _digest(text) for name, text in cells.items()}, found.digests, tuple(found.files))


def mismatches(stored: str | None, current: Source) -> tuple[str, ...]:
    """Return Smithers' labels for what has changed since a hash was stored; empty when nothing has."""
    if not stored or not current.hash:
        return (UNAVAILABLE,)
    pairs = zip((ENTRY, MODULES), stored.partition(".")[::2], current.hash.partition(".")[::2], strict=True)
    return tuple(label for label, before, now in pairs if before != now)


def changed_parts(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Return the cells or modules that were edited, added or removed, in the order of the newer source."""
    return [name for name in dict.fromkeys([*after, *before]) if before.get(name) != after.get(name)]


class _Import(NamedTuple):
    """A module that is imported; `level` counts the dots of a relative import."""

    module: str
    names: tuple[str, ...] = ()
    level: int = 0


class _Modules:
    """The local modules that some code imports, directly or through others."""

    def __init__(self, folders: list[Path]) -> None:
        self.folders = folders
        self.digests: dict[str, str] = {}
        self.files: dict[Path, None] = {}

    def follow(self, imports: Iterable[_Import], package: Path | None = None, root: Path | None = None) -> None:
        """Add the modules imported by a cell, or by a module of `package` below `root`."""
        for one in imports:
            if one.level == 0 and one.module.partition(".")[0] == _OURS:
                self.digests[_OURS] = __version__
                continue
            parts = one.module.split(".") if one.module else []
            if one.level and package is not None and root is not None:
                start = package if one.level == 1 else package.parents[min(one.level, len(package.parents)) - 2]
                self._walk(start, parts, one.names, root)
            elif not one.level:
                home = next((folder for folder in self.folders if _is_module(folder, parts[0])), None)
                if home is not None:
                    self._walk(home, parts, one.names, home)

    def _walk(self, folder: Path, parts: list[str], names: tuple[str, ...], root: Path) -> None:
        """Add a module, its parent packages, and the submodules imported from it."""
        for part in parts:
            self._add(folder / f"{part}.py", root)
            folder = folder / part
            self._add(folder / "__init__.py", root)
        for name in names:
            self._add(folder / f"{name}.py", root)
            self._add(folder / name / "__init__.py", root)

    def _add(self, file: Path, root: Path) -> None:
        if file in self.files or not file.is_relative_to(root):
            return
        try:
            content = file.read_bytes()
        except OSError:  # no such module; the import itself will fail if it matters
            return
        self.files[file] = None
        self.digests[file.relative_to(root).as_posix()] = _digest(content)
        self.follow(_imports(content.decode("utf-8", "replace")), file.parent, root)


def _is_module(folder: Path, name: str) -> bool:
    return bool(name) and ((folder / f"{name}.py").is_file() or (folder / name).is_dir())


def _imports(code: str) -> Iterator[_Import]:
    """Yield the imports of some code, including those in functions; in code that does not parse, lines that look like imports."""
    try:
        tree = ast.parse(_MAGIC.sub(r"\1\2pass", code))
    except (SyntaxError, ValueError, RecursionError):
        yield from _apparent_imports(code)
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (_Import(alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield _Import(node.module or "", tuple(alias.name for alias in node.names), node.level)


def _apparent_imports(code: str) -> Iterator[_Import]:
    for origin, names, modules in _IMPORT.findall(code):
        if origin:
            plain = origin.lstrip(".")
            yield _Import(plain, tuple(name.split()[0] for name in names.split(",") if name.split()), len(origin) - len(plain))
        yield from (_Import(name.split()[0].strip(".")) for name in modules.split(",") if name.split())


def _digest(*parts: str | bytes) -> str:
    whole = hashlib.sha256()
    for part in parts:
        content = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        whole.update(len(content).to_bytes(8, "big") + content)
    return whole.hexdigest()[:32]

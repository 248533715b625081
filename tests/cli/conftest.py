"""Fixtures that run the command line: in this process for what it prints, as a process of its own for what it loads."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from smithers_nb.cli import main
from smithers_nb.resources import resource


class Answer(NamedTuple):
    """What a call of the command line left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Answer]:
    """Run a command in this process, piped: whatever screen the tests run on."""
    monkeypatch.delenv("COLUMNS", raising=False)

    def run(*args: object) -> Answer:
        capsys.readouterr()
        code = main([str(arg) for arg in args])
        return Answer(code, *capsys.readouterr())

    return run


@pytest.fixture
def process() -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """Run a command as a process of its own."""

    def run(
        *args: str | bytes | Path, stdin: bytes = b"", cwd: Path | None = None, env: dict[str, str] | None = None, code: Sequence[str] = ()
    ) -> subprocess.CompletedProcess[bytes]:
        start = code or ("-c", "import sys; from smithers_nb.cli import main; sys.exit(main())")
        whole = {**os.environ, **(env or {})}
        return subprocess.run(
            [sys.executable, *start, *args], input=stdin, capture_output=True, cwd=cwd, env=whole, timeout=120, check=False
        )

    return run


FAILED = "order-sync-013"
WAITING = "release-gate-035"
FINISHED = "order-sync-004"


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled example store, unpacked once; sixty runs of five workflows."""
    target = tmp_path_factory.mktemp("example") / "smithers.db"
    target.write_bytes(gzip.decompress(resource("templates/example/smithers.db.gz").read_bytes()))
    return target


@pytest.fixture
def own_example(example: Path, tmp_path: Path) -> Path:
    """A copy of the example store that a test may change."""
    return Path(shutil.copyfile(example, tmp_path / "smithers.db"))

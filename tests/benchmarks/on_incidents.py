"""The bundle of a large run directory beside `tar` and `sha256sum` on the same directory."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks.measure import ROOT, Call, Row, call, in_pairs, median, seconds, times
from tests.support import orchestrator

if TYPE_CHECKING:
    from tests.benchmarks.sizes import Sizes

_FILES = 100


def bundle(sizes: Sizes) -> Iterator[Row]:
    """Compare whole processes with the two tools a person would take; half of the directory is text.

    The copy that a triage takes first is read back and compared, which the tools do not do; it has a row of its own.
    """
    what = f"`incident escalate`, {sizes.run_mb} MB"
    if shutil.which("tar") is None or shutil.which("sha256sum") is None:
        yield Row(what, "", "not installed", "", "<= 1.5x", "tar and sha256sum are needed")
        return
    with tempfile.TemporaryDirectory(prefix="smithers-nb-bench-") as name:
        folder = Path(name)
        run = str(_run(folder, sizes.run_mb))

        def ours(*words: str) -> Call:
            shutil.rmtree(folder / "artifacts", ignore_errors=True)
            return _done(call([sys.executable, "-m", *words], ROOT))

        def tools() -> Call:
            (folder / "plain.tar").unlink(missing_ok=True)
            return _done(call(["sh", "-c", "tar cf plain.tar runs && sha256sum plain.tar"], folder))

        artifacts = str(folder / "artifacts")
        escalate = ("smithers_nb", "incident", "escalate", run, "--force", "--artifacts", artifacts)
        copied = ("tests.benchmarks.jobs", "bundle_of_run", run, artifacts)
        for label, words in ((what, escalate), ("the same behind a verified copy", copied)):
            mine, theirs = in_pairs(lambda words=words: ours(*words), tools, max(sizes.repeats // 2, 1))
            cpu = times(median(mine, "cpu") / median(theirs, "cpu"))
            beside = f"tar, then sha256sum of it, {_FILES} files; processor time {cpu}"
            yield Row(label, seconds(median(mine)), seconds(median(theirs)), times(median(mine) / median(theirs)), "<= 1.5x", beside)


def _run(folder: Path, megabytes: int) -> Path:
    """Make a run of the small orchestrator, made large with logs and binary files."""
    words = [sys.executable, orchestrator.__file__, "init", "large"]
    env = f"ORCHESTRATION_BASE_DIR={folder / 'runs'}"
    _done(call(["env", env, *words], folder))
    run = next((folder / "runs").iterdir())
    (run / "data").mkdir()
    size = megabytes * 1_000_000 // _FILES
    line = b"2026-11-20T12:00:00Z worker step finished in 12 ms with nothing to say about it\n"
    for number in range(_FILES):
        content = os.urandom(size) if number % 2 else (line * (size // len(line) + 1))[:size]
        (run / "data" / f"{number:03}.{'bin' if number % 2 else 'log'}").write_bytes(content)
    return run


def _done(done: Call) -> Call:
    if done.exit_code:
        raise RuntimeError(done.output)
    return done

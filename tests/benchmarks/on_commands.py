"""Benchmarks of whole commands: quick answers beside the real CLI, an autopsy beside a bare notebook, and scores on the corpus."""

from __future__ import annotations

import gzip
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks.measure import ROOT, Call, Row, call, in_pairs, median, seconds, times
from tests.benchmarks.smithers_cli import our_cli, real_cli
from tests.benchmarks.stores import DATA

if TYPE_CHECKING:
    from tests.benchmarks.sizes import Sizes

_STORE, _RUN = "pricing", "price-1"
_FAILED = 1


def commands(sizes: Sizes) -> Iterator[Row]:
    """Compare `why` and `inspect` with the real CLI's, in pairs."""
    ours, real = our_cli(), real_cli()
    with tempfile.TemporaryDirectory(prefix="smithers-nb-bench-") as name:
        folder = _project(Path(name))
        for verb in ("why", "inspect"):
            what = f"`{verb} RUN`, whole process"
            if ours is None or real is None:
                yield Row(what, "" if ours else "not installed", "" if real else "not installed", "", "<= 1x", "both are needed")
                continue
            mine = _caller([*ours, verb, _RUN, "--format", "json"], folder)
            theirs = _caller([*real, verb, _RUN, "--format", "json"], folder)
            yield _compared(what, in_pairs(mine, theirs, sizes.repeats), "<= 1x, aim 0.5x", "the real CLI beside")


def autopsy(sizes: Sizes) -> Iterator[Row]:
    """Compare an autopsy with notebook and report with papermill on a notebook of as many cells that imports pandas and plotly."""
    yield from _beside_papermill(sizes, "autopsy")


def monitor(sizes: Sizes) -> Iterator[Row]:
    """Compare a monitor of one run, a durable run with a report, in the same way."""
    yield from _beside_papermill(sizes, "monitor", "--no-ui")


def _beside_papermill(sizes: Sizes, verb: str, *options: str) -> Iterator[Row]:
    ours = our_cli()
    what = f"`{verb} RUN` with notebook and report"
    if ours is None or not (ROOT / "notebooks" / f"{verb}.ipynb").exists():
        yield Row(what, "not installed", "", "", "<= 1.3x", "needs smithers-nb and its notebook")
        return
    with tempfile.TemporaryDirectory(prefix="smithers-nb-bench-") as name:
        folder = _project(Path(name))
        cells = _bare_notebook(folder / "bare.ipynb", verb)
        mine = _caller([*ours, verb, _RUN, "--artifacts", str(folder / "artifacts"), "--format", "json", *options], folder)
        bare = _caller([sys.executable, "-m", "papermill", "bare.ipynb", "done.ipynb", "-k", "python3"], folder)
        pairs = in_pairs(mine, bare, max(sizes.repeats // 2, 1))
        yield _compared(what, pairs, "<= 1.3x", f"papermill, {cells} code cells, pandas and plotly imported")


def corpus(sizes: Sizes) -> Iterator[Row]:
    """Score the labelled corpus, when it lies beside the checkout."""
    del sizes
    shared = ROOT.parent / "shared"
    tool, ours = shared / "tools" / "score_corpus.py", our_cli()
    goals = {"smithers": "class 0.97, suggestion 0.95, cause 0.95", "errors": "class 0.90"}
    for what, data in (("smithers", "smithers"), ("errors", "errors.jsonl")):
        if ours is None or not tool.exists():
            yield Row(f"scores on the corpus: {what}", "not there", "", "", goals[what], "needs the corpus beside the checkout")
            continue
        done = call([sys.executable, str(tool), what, str(shared / "corpus" / data), "--cli", ours[0]], ROOT)
        last = done.output.strip().splitlines()[-1] if done.output.strip() else "no output"
        yield Row(f"scores on the corpus: {what}", seconds(done.seconds), "", "", goals[what], last)


def _project(folder: Path) -> Path:
    (folder / ".smithers").mkdir()
    (folder / "smithers.db").write_bytes(gzip.decompress((DATA / f"{_STORE}.db.gz").read_bytes()))
    return folder


def _bare_notebook(path: Path, name: str) -> int:
    """Write a notebook with as many cells as one of ours that does next to nothing."""
    import nbformat
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

    template = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    codes = [cell for cell in template.cells if cell.cell_type == "code"]
    written = [
        new_code_cell("import pandas as pd\nimport plotly.graph_objects as go"),
        *(new_code_cell(str(n)) for n in range(1, len(codes))),
    ]
    texts = [new_markdown_cell("text") for _ in range(len(template.cells) - len(codes))]
    nbformat.write(new_notebook(cells=[*texts, *written]), path)
    return len(codes)


def _caller(command: list[str], folder: Path) -> Callable[[], Call]:
    return lambda: call(command, folder)


def _compared(what: str, pairs: tuple[list[Call], list[Call]], goal: str, note: str) -> Row:
    mine, theirs = pairs
    broken = next((one for one in (*mine, *theirs) if one.exit_code not in {0, _FAILED}), None)
    if broken is not None or any("No such command" in one.output for one in mine):
        said = (broken or mine[0]).output.strip().splitlines() or ["nothing"]
        return Row(what, "failed", "", "", goal, f"exit {(broken or mine[0]).exit_code}: {said[-1][:100]}")
    ratio, cpu = (median(mine, kind) / median(theirs, kind) for kind in ("seconds", "cpu"))
    measured = f"{note}; median of {len(mine)} pairs; processor time {times(cpu)}"
    return Row(what, seconds(median(mine)), seconds(median(theirs)), times(ratio), goal, measured)

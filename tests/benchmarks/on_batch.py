"""A batch of autopsies with notebooks and reports beside plain papermill on the same notebook and the same runs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks.measure import Row, in_own_process, seconds, times
from tests.benchmarks.stores import big_store

if TYPE_CHECKING:
    from tests.benchmarks.sizes import Sizes

_RUNS_PER_FAILED = 2


def batch(sizes: Sizes) -> Iterator[Row]:
    """Compare throughput: all processors and prewarmed kernels, the same one at a time, and papermill's python3 kernel one at a time.

    Plain papermill writes the notebooks only, is imported once and uses one process: the quickest that it can be without a scheduler of
    one's own. It gets half of its notebooks before ours and half after, and is extrapolated from them.
    """
    store = big_store(sizes.cache, sizes.autopsies * _RUNS_PER_FAILED, 0)
    half = str(max(sizes.plain // 2, 1))
    with tempfile.TemporaryDirectory(prefix="smithers-nb-bench-") as folder:
        before = in_own_process("plain_papermill", str(store.path), half, str(Path(folder) / "plain"))
        ours = in_own_process("batch_of_autopsies", str(store.path), str(sizes.autopsies), str(Path(folder) / "ours"), "0")
        single = in_own_process("batch_of_autopsies", str(store.path), half, str(Path(folder) / "single"), "1")
        after = in_own_process("plain_papermill", str(store.path), half, str(Path(folder) / "plain"))
    measured = before.told["done"] + after.told["done"]
    plain = (before.seconds + after.seconds) / measured
    each, alone = (one.seconds / one.told["done"] for one in (ours, single))
    cpu = (ours.cpu / ours.told["done"]) / ((before.cpu + after.cpu) / measured)
    count, at_once = ours.told["done"], ours.told["workers"]
    beside = f"papermill.execute_notebook, python3 kernel, no reports, {measured} notebooks extrapolated; processor time {times(cpu)}"
    yield Row(
        f"{count} autopsies with reports, {at_once} at once",
        seconds(each * count),
        seconds(plain * count),
        f"{times(plain / each)} throughput",
        ">= 5x, aim 8x",
        beside,
    )
    yield Row(
        "the same, one at a time",
        seconds(alone * count),
        seconds(plain * count),
        f"{times(plain / alone)} throughput",
        "",
        "extrapolated too",
    )

"""Work items: audits of an export and of the ledger beside parsing the same by hand, how growth is, and what a transition costs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tests.benchmarks.beads import make_export
from tests.benchmarks.measure import Row, in_own_process, seconds, times
from tests.benchmarks.on_durable import both, folder

if TYPE_CHECKING:
    from tests.benchmarks.sizes import Sizes


def audits(sizes: Sizes) -> Iterator[Row]:
    """Audit and list work items with ten events each."""
    export = sizes.cache / f"beads-{sizes.beads}"
    if not (export / "events.jsonl").is_file():
        make_export(export, sizes.beads)
    parse, frames = (in_own_process(job, str(export)) for job in ("beads_parse", "beads_frames"))
    straight = in_own_process("beads_audit_export", str(export))
    size = f"{sizes.beads:,} beads, {sizes.beads * 10:,} events"
    memory = f"{straight.peak_mb:.0f} MB beside {parse.peak_mb:.0f} MB"
    yield Row(
        "audit of an export",
        seconds(straight.cpu),
        seconds(parse.cpu),
        times(straight.cpu / parse.cpu),
        "<= 1x",
        f"json.loads, {size}; processor time of whole processes",
    )
    yield Row(
        "memory of that",
        f"{straight.peak_mb:.0f} MB",
        f"{parse.peak_mb:.0f} MB",
        times(straight.peak_mb / parse.peak_mb),
        "<= 0.5x",
        memory,
    )
    with folder() as place:
        url = f"sqlite:///{place}/journal.db"
        brought = in_own_process("beads_import", str(export), url)
        yield Row("import into the ledger", seconds(brought.seconds), "", "", "", size)
        ours = in_own_process("beads_audit_ledger", url)
    yield Row(
        "list and audit of the ledger",
        seconds(ours.cpu),
        seconds(frames.cpu),
        times(frames.cpu / ours.cpu),
        ">= 20x",
        f"json.loads and pandas.DataFrame, {size}; processor time of whole processes",
    )
    yield Row("memory of that", f"{ours.peak_mb:.0f} MB", f"{frames.peak_mb:.0f} MB", times(ours.peak_mb / frames.peak_mb), "<= 0.5x")


def transitions(sizes: Sizes) -> Iterator[Row]:
    """Change statuses beside a bare transaction of two statements, on both databases."""
    for name, url in both():
        with folder() as place:
            told = in_own_process("beads_transitions", url or f"sqlite:///{place}/journal.db", str(sizes.transitions)).told
        ratio, rate = told["ours"] / told["bare"], sizes.transitions / told["ours"]
        each = [seconds(told[who] / sizes.transitions) for who in ("ours", "bare")]
        yield Row(
            f"transition of a bead, {name}", *each, times(ratio), "<= 2x", f"UPDATE and INSERT in one transaction; {rate:,.0f} a second"
        )

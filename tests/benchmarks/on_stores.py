"""Benchmarks of reading: whole-store frames, one run of a big store, every failure in one pass."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tests.benchmarks.measure import Row, call, in_own_process, median, seconds, times
from tests.benchmarks.smithers_cli import real_cli
from tests.benchmarks.stores import big_store, executed_notebooks

if TYPE_CHECKING:
    from tests.benchmarks.sizes import Sizes


def events(sizes: Sizes) -> Iterator[Row]:
    """Compare the whole-store frame of events with what a notebook would write by hand."""
    store = big_store(sizes.cache, sizes.runs, sizes.events // sizes.runs)
    ours, other = in_own_process("events_frame", str(store.path)), in_own_process("events_by_hand", str(store.path))
    if ours.told != other.told:
        raise RuntimeError(f"the two frames differ: {ours.told} and {other.told}")
    what = f"events frame of {ours.told['rows']:,} events"
    against = "pandas.read_sql + json_normalize, the same columns; whole processes"
    yield Row(f"{what}: time", seconds(ours.seconds), seconds(other.seconds), times(other.seconds / ours.seconds), ">= 5x", against)
    yield Row(
        f"{what}: peak memory",
        f"{ours.peak_mb:,.0f} MB",
        f"{other.peak_mb:,.0f} MB",
        times(ours.peak_mb / other.peak_mb),
        "<= 0.5x",
        "ru_maxrss",
    )


def snapshot(sizes: Sizes) -> Iterator[Row]:
    """Compare reading one run from a big store with reading the same run from a small one."""
    big = big_store(sizes.cache, sizes.runs, sizes.events // sizes.runs)
    small = big_store(sizes.cache, 0, sizes.events // sizes.runs)
    told = in_own_process("snapshots", str(big.path), str(small.path), big.failed, str(sizes.repeats * 3)).told
    what, note = f"one run's snapshot ({told['events']} events)", f"store of {big.events:,} events beside one of {small.events:,}"
    yield Row(what, seconds(told["big"]), seconds(told["small"]), times(told["big"] / told["small"]), "<= 1.2x", note)


def failures(sizes: Sizes) -> Iterator[Row]:
    """Compare all failures of a store in one pass with asking the real CLI about one run after another."""
    store = big_store(sizes.cache, sizes.runs, sizes.events // sizes.runs)
    ours = in_own_process("all_failures", str(store.path))
    what = f"failures of {store.runs:,} runs ({ours.told['rows']:,} rows, {ours.told['signatures']} signatures)"
    cli = real_cli()
    if cli is None:
        yield Row(what, seconds(ours.seconds), "not installed", "", ">= 100x", "real CLI: set SMITHERS_CLI")
        return
    calls = [call([*cli, "why", store.failed, "--json"], store.folder) for _ in range(sizes.calls)]
    answered = [one for one in calls if one.exit_code == 0]
    if not answered:
        yield Row(what, seconds(ours.seconds), "no answer", "", ">= 100x", calls[-1].output.strip().splitlines()[-1][:80])
        return
    whole = median(answered) * store.runs
    note = f"`smithers why` x {len(answered)} measured, median {seconds(median(answered))}, EXTRAPOLATED to {store.runs:,}"
    yield Row(what, seconds(ours.seconds), seconds(whole), times(whole / ours.seconds), ">= 100x", note)


def health(sizes: Sizes) -> Iterator[Row]:
    """Compare the health of every run in one pass with the real CLI's `status` of one run after another, and with smaller stores."""
    per_run = sizes.events // sizes.runs
    store = big_store(sizes.cache, sizes.runs, per_run)
    ours = in_own_process("all_health", str(store.path))
    what = f"health of {ours.told['runs']:,} runs"
    cli = real_cli()
    calls = [call([*cli, "status", store.failed, "--json"], store.folder) for _ in range(sizes.calls)] if cli else []
    answered = [one for one in calls if one.exit_code == 0]
    if answered:
        whole = median(answered) * store.runs
        note = f"`smithers status` x {len(answered)} measured, median {seconds(median(answered))}, EXTRAPOLATED to {store.runs:,}"
        yield Row(what, seconds(ours.seconds), seconds(whole), times(whole / ours.seconds), ">= 100x", note)
    else:
        why = calls[-1].output.strip().splitlines()[-1][:80] if calls else "real CLI: set SMITHERS_CLI"
        yield Row(what, seconds(ours.seconds), "no answer" if calls else "not installed", "", ">= 100x", why)
    for part in (4, 16):
        less = in_own_process("all_health", str(big_store(sizes.cache, max(sizes.runs // part, 1), per_run).path))
        grown = ours.told["pass_s"] / less.told["pass_s"] / (ours.told["runs"] / less.told["runs"])
        note = f"beside {less.told['runs']:,} runs, times {ours.told['runs'] / less.told['runs']:.1f}; start-up apart"
        yield Row(f"{what}: growth", seconds(ours.told["pass_s"]), seconds(less.told["pass_s"]), times(grown), "<= 1.2x", note)


def notebooks(sizes: Sizes) -> Iterator[Row]:
    """Compare state and deciding cell of a folder of executed notebooks with nbformat and a loop, and a folder with a tenth of it."""
    folder, few = (executed_notebooks(sizes.cache, count) for count in (sizes.notebooks, sizes.notebooks // 10))
    told = in_own_process("notebook_states", str(folder), str(few)).told
    what = f"state and cell of {told['files']:,} notebooks"
    against = "nbformat.read + the first error output; processor time, start-up apart"
    yield Row(what, seconds(told["ours"]), seconds(told["by_hand"]), times(told["by_hand"] / told["ours"]), ">= 5x", against)
    grown = told["ours"] / (10 * told["few"])
    yield Row(f"{what}: growth", seconds(told["ours"]), seconds(told["few"]), times(grown), "<= 1.2x", "beside a tenth of them, times ten")

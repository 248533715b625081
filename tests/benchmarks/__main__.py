"""Run the benchmarks: `python -m tests.benchmarks [NAME…] [--quick]` prints one table of ratios, all measured in this one run."""

from __future__ import annotations

import argparse
import compileall
import platform
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.benchmarks import on_batch, on_beads, on_commands, on_durable, on_incidents, on_sessions, on_smithering, on_stores  # noqa: E402 - the checkout has to be importable first
from tests.benchmarks.measure import Row  # noqa: E402
from tests.benchmarks.sizes import FULL, QUICK, Sizes  # noqa: E402

BENCHMARKS: dict[str, Callable[[Sizes], Iterator[Row]]] = {
    "events": on_stores.events,
    "snapshot": on_stores.snapshot,
    "failures": on_stores.failures,
    "health": on_stores.health,
    "notebooks": on_stores.notebooks,
    "commands": on_commands.commands,
    "autopsy": on_commands.autopsy,
    "monitor": on_commands.monitor,
    "batch": on_batch.batch,
    "corpus": on_commands.corpus,
    "stages": on_durable.stages,
    "queue": on_durable.queue,
    "decisions": on_durable.decisions,
    "beads": on_beads.audits,
    "transitions": on_beads.transitions,
    "sessions": on_sessions.sessions,
    "landing": on_smithering.landing,
    "bundle": on_incidents.bundle,
}
HEAD = Row("what", "smithers-nb", "beside", "ratio", "goal", "measured against")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for and print the table; a benchmark that breaks is a row that says so, and exit code 1."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks", description="Ratios, measured in one run; times depend on the machine."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"benchmarks to run: {', '.join(BENCHMARKS)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="small stores and one repeat, to see that everything works")
    parser.add_argument("--cache", type=Path, default=FULL.cache, help="folder for the generated stores (default: artifacts/benchmarks)")
    asked = parser.parse_args(arguments)
    if unknown := sorted(set(asked.names) - set(BENCHMARKS)):
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    compileall.compile_dir(str(ROOT / "smithers_nb"), quiet=1)
    rows, whole = _run(asked.names or list(BENCHMARKS), (QUICK if asked.quick else FULL)._replace(cache=asked.cache))
    warning = ", QUICK: sizes too small to judge" if asked.quick else ""
    sys.stdout.write(f"{table(rows)}\n\nPython {platform.python_version()}, {platform.machine()}{warning}\n")
    return 0 if whole else 1


def table(rows: Iterable[Row]) -> str:
    """Lay rows out in columns."""
    lines = [HEAD, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    drawn = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([drawn[0], "-" * len(drawn[0]), *drawn[1:]])


def _run(names: Iterable[str], sizes: Sizes) -> tuple[list[Row], bool]:
    rows: list[Row] = []
    whole = True
    for name in names:
        sys.stderr.write(f"{name} …\n")
        try:
            rows.extend(BENCHMARKS[name](sizes))
        except Exception as error:  # noqa: BLE001 - the other benchmarks are still worth their time
            rows.append(Row(name, "broke", "", "", "", str(error).strip().splitlines()[-1][:120] if str(error).strip() else repr(error)))
            whole = False
    return rows, whole


if __name__ == "__main__":
    raise SystemExit(main())

"""Smithering: tickets landed by workers that take no time, beside a bare loop of the same git commands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tests.benchmarks.measure import Row, in_own_process, seconds, times
from tests.benchmarks.on_durable import folder

if TYPE_CHECKING:
    from tests.benchmarks.sizes import Sizes


def landing(sizes: Sizes) -> Iterator[Row]:
    """Land a random graph of tickets, every one of them."""
    with folder() as ours, folder() as bare:
        told = in_own_process("landing_build", ours, str(sizes.tickets)).told
        other = in_own_process("landing_bare", bare, str(sizes.tickets)).told
    note = f"a loop of {other['calls']} git commands and 2 runs of the verification each; {told['landed']} of {sizes.tickets} landed"
    yield Row(
        "tickets landed", seconds(told["seconds"]), seconds(other["seconds"]), times(told["seconds"] / other["seconds"]), "<= 1.5x", note
    )

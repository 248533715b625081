"""What a diagnosis has to know of the engine that owns a run: its own command line, and how it goes on after a failure or a decision.

Whatever prints a command takes it from `engine_of(snapshot).cli`, and what explains one asks the few facts beside it, so no finder tells
engines apart by name. The commands of an engine are a module with the functions of `Cli`, or with an `of` that makes them for one run.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, cast

if TYPE_CHECKING:
    from smithers_nb.sources.base import Source
    from smithers_nb.sources.snapshot import Snapshot


class Cli(Protocol):
    """Commands of an engine as lines that run as printed; `commands` has Smithers' and says what each does."""

    def retry_task(self, workflow_path: str | None, run_id: str, node_id: str, iteration: int = 0) -> str: ...  # noqa: D102
    def resume(self, workflow_path: str | None, run_id: str, *, force: bool = False) -> str: ...  # noqa: D102
    def accepting_change(self, command: str) -> str: ...  # noqa: D102
    def approve(self, run_id: str, node_id: str, iteration: int = 0) -> str: ...  # noqa: D102
    def deny(self, run_id: str, node_id: str, iteration: int = 0) -> str: ...  # noqa: D102
    def choose(self, run_id: str, node_id: str, iteration: int, decision: dict[str, Any]) -> str: ...  # noqa: D102
    def answer(self, request_id: str, value: str) -> str: ...  # noqa: D102
    def signal(self, run_id: str, name: str, correlation: str | None = None, *, data: str = ...) -> str: ...  # noqa: D102
    def cancel(self, run_id: str) -> str: ...  # noqa: D102
    def fresh_run(self, workflow_path: str | None, run_input: dict[str, Any] | None) -> str: ...  # noqa: D102
    def rewind(self, run_id: str, frame: int) -> str: ...  # noqa: D102
    def inspect(self, run_id: str) -> str: ...  # noqa: D102
    def node(self, run_id: str, node_id: str, iteration: int = 0) -> str: ...  # noqa: D102
    def events(self, run_id: str) -> str: ...  # noqa: D102


class Engine(NamedTuple):
    """An engine, as far as its runs are diagnosed.

    Attributes:
        name: What people call it.
        module: Module of its commands.
        replays: A resume of a failed run only gives back the recorded error; only `retry-task` tries again.
        waits_for_resume: After a decision or an answer somebody must resume the run.
        is_watched: Its store is searched for what the engine itself recorded wrongly or let happen.
        wakes_itself: Whoever executes a run also ends its waits for a time or a message; nobody has to resume it.
        goes_on: What going on with a failed run does.
        tries_again: What tries a failed task again.
        own_cli: Its commands for one run, where they depend on it.
        idles: A live engine that records no work is broken; where work may go on between two records, it is not.
    """

    name: str
    module: str
    replays: bool = False
    waits_for_resume: bool = False
    is_watched: bool = False
    idles: bool = False
    wakes_itself: bool = False
    goes_on: str = "Stages that are finished keep what they gave; everything else is executed again."
    tries_again: str = "a resume tries it again"
    own_cli: Cli | None = None

    @property
    def cli(self) -> Cli:
        """Its commands."""
        return self.own_cli or cast("Cli", import_module(f"smithers_nb.diagnosis.engines.{self.module}"))


SMITHERS: Final = Engine("Smithers", "smithers", replays=True, waits_for_resume=True, is_watched=True, idles=True)
_ENGINES: Final = {
    "journal": Engine("smithers-nb", "notebooks"),
    "dbos": Engine(
        "DBOS",
        "dbos",
        wakes_itself=True,
        goes_on="DBOS goes on with a failed workflow as a fork: a new one with the same input that keeps the results of earlier steps.",
        tries_again="a resume gives the same error back, a fork from this step tries it again",
    ),
}
"""Kind of a source to its engine; Smithers' where none is named."""


def engine_of(snapshot: Snapshot) -> Engine:
    """Tell which engine owns a run."""
    engine = engine_of_store(snapshot.source)
    own = getattr(import_module(f"smithers_nb.diagnosis.engines.{engine.module}"), "of", None)
    cli = own(snapshot) if own else None
    return engine if cli is None else engine._replace(own_cli=cli, goes_on=getattr(cli, "goes_on", engine.goes_on))


def engine_of_store(source: Source) -> Engine:
    """Tell which engine owns the runs of a store."""
    return _ENGINES.get(source.kind, SMITHERS)

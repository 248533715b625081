"""One request on its way through the stages: what was asked, who works, what the stages have said so far, and how it ends.

A stage is kept once per run, whoever executes the notebook again; so everything in here is made anew from the parameters and the kept
rows, and nothing else is remembered between executions.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, TypeVar, cast

from smithers_nb.artifacts import safe_name, write_whole
from smithers_nb.engine import stages
from smithers_nb.engine.artifacts.store import is_url
from smithers_nb.errors import ParameterError, SmitheringError
from smithers_nb.redact import redact
from smithers_nb.resources import resource
from smithers_nb.workflows.autopsy.durable import told_artifacts
from smithers_nb.workflows.notebook import api
from smithers_nb.workflows.smithering.parameters import SmitheringParameters, workforce_of
from smithers_nb.workflows.smithering.results.delivery import FinalReport, Status
from smithers_nb.workflows.smithering.results.shown import Shown
from smithers_nb.workflows.smithering.workforce.base import WorkRequest, answer_as

if TYPE_CHECKING:
    from smithers_nb.engine.location import Location
    from smithers_nb.workflows.smithering.workforce.base import Workforce

T = TypeVar("T", bound=Shown)
R = TypeVar("R")
P = ParamSpec("P")

AUTO: Final = "auto: review=false"
"""Note of the decisions that were made at the start, by whoever started the run with `review false`."""


@dataclass
class Work:
    """One request.

    Attributes:
        parameters: What was asked for.
        run_id: The run in the journal.
        location: The project with the journal.
        workforce: Who works.
        folder: Folder of this run's artifacts.
        rows: What the stages have said, by node id; of a loop the last round.
        ended: The final report, once there is one; the stages after it do nothing.
    """

    parameters: SmitheringParameters
    run_id: str
    location: Location
    workforce: Workforce
    folder: Path
    rows: dict[str, Shown] = field(default_factory=dict)
    ended: FinalReport | None = None

    @property
    def repo(self) -> Path:
        """Folder of the repository that is built in."""
        return self.parameters.folder

    @property
    def artifacts(self) -> Path:
        """Folder of all artifacts of the project."""
        return self.folder.parent.parent

    def row(self, node_id: str, kind: type[T]) -> T:
        """Return what a stage has said.

        Raises:
            ParameterError: It has not run yet.
        """
        found = self.rows.get(node_id)
        if not isinstance(found, kind):
            raise ParameterError(f"the stage {node_id} has not run yet", hint="run the cells of the notebook in their order")
        return found

    def kept(self, node_id: str, kind: type[T], step: Callable[[], T], *, iteration: int = 0) -> T:
        """Take a step once per run, and remember what it said."""
        row: T = api.stage(node_id, step, schema=kind, iteration=iteration)
        self.rows[node_id] = row
        return row

    def asked(  # noqa: PLR0913  # all but two are options by name
        self,
        node_id: str,
        kind: type[T],
        *about: str,
        iteration: int = 0,
        family: str = "",
        folder: Path | None = None,
        check: Callable[[T], None] = lambda _: None,
        then: Callable[[T], T] = lambda row: row,
        extra: dict[str, Any] | None = None,
        artifact: str = "",
        otherwise: Callable[[SmitheringError], T] | None = None,
    ) -> T:
        """Have the workforce answer a stage, once per run.

        Args:
            node_id: The stage.
            kind: What it gives.
            about: Earlier stages whose rows the question comes with.
            iteration: Round of a loop.
            family: Model family that is asked.
            folder: Checkout that may be read; the repository by default.
            check: Raises ValueError for an answer that is not usable.
            then: What is done with the answer before it is kept, such as writing its artifact.
            extra: More context.
            artifact: Name of the file that gets the answer as JSON.
            otherwise: Gives the row when there was no usable answer; without it the stage fails, and the run with it.
        """
        context: dict[str, Any] = {"request": self.parameters.prompt or self._prompt(), **(extra or {})}
        context |= {name: self.rows[name].as_json() for name in about if name in self.rows}

        def step() -> T:
            request = WorkRequest(
                stage=node_id,
                instructions=instructions(node_id),
                context=context,
                folder=folder or self.repo,
                round=iteration,
                family=family,
            )
            try:
                row = then(answer_as(self.workforce, kind, request, check))
            except SmitheringError as error:
                if otherwise is None:
                    raise
                return otherwise(error)
            if artifact:
                self.write_json(artifact, row.as_json())
            return row

        return self.kept(node_id, kind, step, iteration=iteration)

    def gate(self, node_id: str, title: str, summary: str, details: dict[str, Any]) -> bool:
        """Let a person decide; with `review false` the person who started the run has decided already, and that is recorded."""
        if not self.parameters.review:
            self._decided_at_start(node_id, title, summary, details)
        return api.gate(node_id, title, redact(summary), details, on_deny="continue").approved

    def cancel(self, node_id: str, summary: str, status: Status = "cancelled") -> None:
        """End the run: write the one final report row and let no further stage do anything."""
        from smithers_nb.workflows.smithering.ending import write_cancelled

        self.ended = self.kept(node_id, FinalReport, lambda: write_cancelled(self, node_id, summary, status))

    def write(self, name: str, text: str) -> str:
        """Write an artifact of this run, without the secrets in it, and return its path."""
        path = self.folder / name
        write_whole(path, redact(text).encode("utf-8", "replace"))
        return str(path)

    def write_json(self, name: str, value: Any) -> str:
        """The same for a JSON value."""
        import json

        return self.write(name, f"{json.dumps(value, indent=2, ensure_ascii=False)}\n")

    def _prompt(self) -> str:
        return str(getattr(self.rows.get("setup"), "prompt", ""))

    def _decided_at_start(self, node_id: str, title: str, summary: str, details: dict[str, Any]) -> None:
        """Record the decision that `review false` is."""
        from smithers_nb.engine.journal import decisions
        from smithers_nb.engine.stages.stage_call import node_of

        run = stages.current() or stages.lab_run()
        with run.writing() as connection:
            node, _ = node_of(connection, run, node_id, 0)
            asked = decisions.request_approval(connection, node, title=title, summary=redact(summary), details=details, on_deny="continue")
            if asked is None:
                decisions.decide(connection, node, approved=True, by=self.decider, note=AUTO)

    @property
    def decider(self) -> str:
        """Who decided at the start: a named person, or an agent on behalf of one."""
        from smithers_nb.engine.control import login
        from smithers_nb.engine.control.decisions import acting

        return acting(self.parameters.started_by or login(), self.parameters.on_behalf_of)


def begin(variables: Mapping[str, Any]) -> Work:
    """Take a request.

    Args:
        variables: Those of the notebook, `globals()`; the ones that have a parameter's name count.

    Raises:
        ParameterError: One of them is wrong, or what the provider needs is missing.
    """
    from smithers_nb.engine.notebook.executor import validated

    given = validated(SmitheringParameters, {name: variables[name] for name in SmitheringParameters.model_fields if name in variables})
    run = stages.current() or stages.lab_run()
    location = run.journal.location
    artifacts = told_artifacts() or str(location.root / "artifacts")
    if is_url(artifacts):
        raise ParameterError(f"artifacts: {artifacts} is not a folder", hint="evidence is checked where it lies; name a folder")
    folder = Path(artifacts).absolute() / "smithering" / safe_name(run.run_id)
    return Work(given, run.run_id, location, workforce_of(given, folder), folder)


def step(function: Callable[Concatenate[Work, P], R]) -> Callable[Concatenate[Work, P], R | None]:
    """Make a function of the notebook that does nothing once the run has ended."""

    @wraps(function)
    def taken(work: Work, /, *args: P.args, **options: P.kwargs) -> R | None:
        return None if work.ended is not None else function(work, *args, **options)

    return cast("Callable[Concatenate[Work, P], R | None]", taken)


def together(calls: Sequence[Callable[[], R]], limit: int = 3) -> list[R]:
    """Make several calls at once and return what they gave, in their order; the first error is raised after all have ended."""
    from concurrent.futures import ThreadPoolExecutor, wait

    with ThreadPoolExecutor(limit, "smithering") as pool:
        futures = [pool.submit(call) for call in calls]
        wait(futures)
    return [future.result() for future in futures]


def instructions(node_id: str) -> str:
    """Return what a stage asks for, in plain words; `research:domain` is told what `research` is unless it has words of its own."""
    known = _instructions()
    with suppress(KeyError):
        return known[node_id]
    return known.get(node_id.partition(":")[0], f"Do the stage {node_id}.")


@cache
def _instructions() -> dict[str, str]:
    return tomllib.loads(Path(str(resource("templates/prompts/smithering.toml"))).read_text("utf-8"))

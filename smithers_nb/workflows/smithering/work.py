"""One request on its way through the stages: its parameters, its workforce, the rows of its stages and its final report.

The output of a stage is stored once per run, so a later execution of the notebook rebuilds everything here from the parameters and the
stored rows; nothing else is remembered between executions.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, TypeVar, cast

from smithers_nb.artifacts import safe_name, write_whole
from smithers_nb.engine import stages
from smithers_nb.engine.artifacts.store import is_url
from smithers_nb.errors import ParameterError, SmitheringError
from smithers_nb.redact import redact
from smithers_nb.resources import resource
from smithers_nb.workflows.autopsy.durable import artifacts_location
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
"""Note on the decisions that a person made by starting the run with `review false`."""


@dataclass
class Work:
    """One request.

    Attributes:
        parameters: Parameters of the request.
        run_id: ID of the run in the journal.
        location: The project with the journal.
        workforce: Who does the work.
        folder: Folder of this run's artifacts.
        rows: Rows that the stages returned, by node id; of a loop the last iteration.
        ended: The final report, once there is one; later stages then do nothing.
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
        """Folder of the repository the work is done in."""
        return self.parameters.folder

    @property
    def artifacts(self) -> Path:
        """Folder of all artifacts of the project."""
        return self.folder.parent.parent

    def row(self, node_id: str, kind: type[T]) -> T:
        """Return the row of a stage.

        Raises:
            ParameterError: The stage has not run yet.
        """
        row = self.rows.get(node_id)
        if not isinstance(row, kind):
            raise ParameterError(f"the stage {node_id} has not run yet", hint="run the cells of the notebook in their order")
        return row

    def stage(self, node_id: str, kind: type[T], step: Callable[[], T], *, iteration: int = 0) -> T:
        """Run a step as a stage, once per run, and add its row to `rows`."""
        row: T = api.stage(node_id, step, schema=kind, iteration=iteration)
        self.rows[node_id] = row
        return row

    def ask(  # noqa: PLR0913  # all but two are options by name
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
        """Ask the workforce for the row of a stage, once per run.

        Args:
            node_id: Node id of the stage.
            kind: Type of the row.
            about: Earlier stages whose rows are part of the question's context.
            iteration: Loop iteration, starting at 0.
            family: Model family to ask.
            folder: Checkout the workforce may read; defaults to the repository.
            check: Raises ValueError for an answer that is not usable.
            then: Called with the answer before it is stored, for instance to write its artifact.
            extra: Further context.
            artifact: Name of the file the answer is written to as JSON.
            otherwise: Makes the row from the error when there was no usable answer; without it the stage and the run fail.
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

        return self.stage(node_id, kind, step, iteration=iteration)

    def gate(self, node_id: str, title: str, summary: str, details: dict[str, Any]) -> bool:
        """Return whether a person approves; with `review false` they approved by starting the run, which is recorded."""
        if not self.parameters.review:
            self._approve_at_start(node_id, title, summary, details)
        return api.gate(node_id, title, redact(summary), details, on_deny="continue").approved

    def end(self, node_id: str, summary: str, status: Status = "cancelled") -> None:
        """End the run before its delivery: write its page and its final report; later stages then do nothing.

        Args:
            node_id: Node id of the final report, such as `cancelled:prd`.
            summary: Why the run ended.
            status: `cancelled` when a person decided so, `incomplete` when the run could not go on.
        """
        self.ended = self.stage(node_id, FinalReport, partial(self._final_report, node_id, summary, status))

    def write(self, name: str, text: str) -> str:
        """Write an artifact of this run, with its secrets redacted, and return its path."""
        path = self.folder / name
        write_whole(path, redact(text).encode("utf-8", "replace"))
        return str(path)

    def write_json(self, name: str, value: Any) -> str:
        """Write a JSON value as an artifact of this run and return its path."""
        return self.write(name, f"{json.dumps(value, indent=2, ensure_ascii=False)}\n")

    def _final_report(self, node_id: str, summary: str, status: Status) -> FinalReport:
        from smithers_nb.workflows.monitor.report import page_of

        path = self.folder / "report.html"
        row = FinalReport(status=status, summary=summary, artifact_path=str(path))
        stages = [(name, each.card()) for name, each in self.rows.items()]
        page = page_of(stages, title=f"Smithering: {status}", subtitle=f"run {self.run_id}, ended at {node_id}", lead=row.card())
        write_whole(path, page.encode("utf-8", "replace"))
        return row

    def _prompt(self) -> str:
        return str(getattr(self.rows.get("setup"), "prompt", ""))

    def _approve_at_start(self, node_id: str, title: str, summary: str, details: dict[str, Any]) -> None:
        """Record the approval that `review false` stands for."""
        from smithers_nb.engine.journal import decisions
        from smithers_nb.engine.stages.stage_call import node_of

        run = stages.current() or stages.lab_run()
        with run.writing() as connection:
            node, _ = node_of(connection, run, node_id, 0)
            decision = decisions.request_approval(
                connection, node, title=title, summary=redact(summary), details=details, on_deny="continue"
            )
            if decision is None:
                decisions.decide(connection, node, approved=True, by=self.decider, note=AUTO)

    @property
    def decider(self) -> str:
        """Who approved at the start: a person, or an agent on behalf of one."""
        from smithers_nb.engine.control import login
        from smithers_nb.engine.control.decisions import acting

        return acting(self.parameters.started_by or login(), self.parameters.on_behalf_of)


def begin(variables: Mapping[str, Any]) -> Work:
    """Read the request from the notebook's variables.

    Args:
        variables: Variables of the notebook, `globals()`; those with the name of a parameter are read.

    Raises:
        ParameterError: A parameter is wrong, or something the provider needs is missing.
    """
    from smithers_nb.engine.notebook.executor import validated

    parameters = validated(SmitheringParameters, {name: variables[name] for name in SmitheringParameters.model_fields if name in variables})
    run = stages.current() or stages.lab_run()
    location = run.journal.location
    artifacts = artifacts_location() or str(location.root / "artifacts")
    if is_url(artifacts):
        raise ParameterError(f"artifacts: {artifacts} is not a folder", hint="evidence is checked in place; name a folder")
    folder = Path(artifacts).absolute() / "smithering" / safe_name(run.run_id)
    return Work(parameters, run.run_id, location, workforce_of(parameters, folder), folder)


def step(function: Callable[Concatenate[Work, P], R]) -> Callable[Concatenate[Work, P], R | None]:
    """Decorate a stage function so that it does nothing once the run has ended."""

    @wraps(function)
    def wrapped(work: Work, /, *args: P.args, **options: P.kwargs) -> R | None:
        return None if work.ended is not None else function(work, *args, **options)

    return cast("Callable[Concatenate[Work, P], R | None]", wrapped)


def together(calls: Sequence[Callable[[], R]], limit: int = 3) -> list[R]:
    """Make calls in parallel and return their results in order; the first error is raised after all calls have ended."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(limit, "smithering") as pool:
        futures = [pool.submit(call) for call in calls]
    return [future.result() for future in futures]


def instructions(node_id: str) -> str:
    """Return the instructions of a stage; `research:domain` shares those of `research` unless it has its own."""
    known = _instructions()
    return known.get(node_id) or known.get(node_id.partition(":")[0], f"Do the stage {node_id}.")


@cache
def _instructions() -> dict[str, str]:
    return tomllib.loads(resource("templates/prompts/smithering.toml").read_text("utf-8"))

"""Every error this package raises on purpose, in one tree.

```
SmithersNbError            hint, exit_code
├── SourceError            the place that should hold runs
│   ├── SourceNotFound     nothing there; says what was searched
│   ├── SourceUnreadable   not a store, empty, damaged or not permitted
│   ├── SourceMoved        its history was migrated to another backend
│   └── SourceVanished     it was there and is gone
├── RunError               the run that was asked for
│   ├── RunNotFound        no run has this id or prefix
│   ├── AmbiguousRunId     several have it; `candidates` lists them
│   ├── RunNotFailed       there is nothing to autopsy
│   └── NodeNotFound       the run has no such node
├── JournalUnusable        our own store cannot be opened, read or written
├── LeaseLost              another process executes the run now
├── StageError             a stage or a gate ends its run; `code` says why
├── ControlRefused         a run cannot be resumed, decided, cancelled, … in its state; `code` says why
├── BugReportError         a report to the makers of Smithers; `code` says what is wrong with it
│   ├── BugReportEmpty     neither a text nor a run is given
│   ├── BugReportUnread    the run that it is about cannot be read
│   └── BugReportNotSent   the endpoint did not take it; `saved` is the file with it
├── ParameterError         a parameter of a notebook or a command is wrong
├── ProviderError          a provider gave no answer; the internal verdict is used
├── NotebookError          a notebook could not be executed to its end
├── ReportError            a report could not be written
├── SmitheringError        work that is built from tickets cannot begin or continue
│   ├── TicketsRefused     the tickets are no graph of work; says which and why
│   ├── BudgetSpent        a run has made as many calls of agents as it may
│   └── GitFailed          git refused or took too long; `command` and `output` are its own
└── ArtifactsNotWritten    what a run made could not be put where it should go
```

Each carries a `hint`: what a person can do about it. Callers tell errors apart by class and attributes, never by text.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple


class SmithersNbError(Exception):
    """Base of all errors of this package.

    Attributes:
        hint: What a person can do about it; may be empty.
        exit_code: What the command line exits with: 4 for something the user gave, 1 for something that failed.
    """

    exit_code = 4

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint
        if hint:
            self.add_note(f"hint: {hint}")  # what prints a traceback, such as a notebook, prints notes below it


class SourceError(SmithersNbError):
    """The place that should hold runs cannot be used."""


class SourceNotFound(SourceError):
    """Nothing that holds runs is there.

    Attributes:
        searched: Every place that was looked at, in order.
    """

    def __init__(self, message: str, *, searched: Sequence[str] = (), hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.searched = tuple(searched)


class SourceUnreadable(SourceError):
    """Something is there, but it is not a store, is empty, damaged beyond its header, or not permitted."""


class SourceMoved(SourceError):
    """The history of this project lives in another backend now.

    Attributes:
        backend: Name of that backend (`pglite`, `postgres`).
        where: Its folder or address, without secrets.
    """

    def __init__(self, message: str, *, backend: str, where: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.backend = backend
        self.where = where


class SourceVanished(SourceError):
    """The store was there when it was opened and is gone."""


class RunError(SmithersNbError):
    """The run that was asked for cannot be used."""


class RunNotFound(RunError):
    """No run has this id or prefix.

    Attributes:
        code: Smithers' own word for it.
    """

    code = "RUN_NOT_FOUND"


class AmbiguousRunId(RunError):
    """Several runs share this prefix.

    Attributes:
        candidates: Their ids, sorted, at most twenty.
    """

    def __init__(self, message: str, *, candidates: Sequence[str], hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.candidates = tuple(candidates)


class RunNotFailed(RunError):
    """The run did not fail, so there is nothing to autopsy."""


class NodeNotFound(RunError):
    """The run has no such node."""


class JournalUnusable(SmithersNbError):
    """Our own store of runs is locked, read-only, damaged, out of room, or its server is away."""

    exit_code = 1


class LeaseLost(SmithersNbError):
    """Another process executes the run now; whoever gets this writes nothing more about it."""

    exit_code = 1


class StageError(SmithersNbError):
    """A stage or a gate of a notebook ends its run.

    Attributes:
        code: Word that programs tell them apart by: `INVALID_OUTPUT`, `APPROVAL_DENIED`.
    """

    exit_code = 1

    def __init__(self, message: str, *, code: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.code = code


class ControlRefused(SmithersNbError):
    """A run is not in a state in which this can be done to it.

    Attributes:
        code: Word that programs tell refusals apart by, Smithers' own where it has one: `RUN_NOT_RESUMABLE`, `RUN_STILL_RUNNING`,
            `RESUME_METADATA_MISMATCH`, `ALREADY_DECIDED`, `NO_PENDING_APPROVALS`, ….
    """

    def __init__(self, message: str, *, code: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.code = code


class BugReportError(SmithersNbError):
    """A report to the makers of Smithers could not be made or sent.

    Attributes:
        code: Smithers' own word for it.
    """

    code = ""


class BugReportEmpty(BugReportError):
    """Neither a text nor a run is given, so there is nothing to report."""

    code = "BUG_REPORT_EMPTY"


class BugReportUnread(BugReportError):
    """The run that the report is about cannot be read."""

    code = "BUG_REPORT_RUN_UNREADABLE"


class BugReportNotSent(BugReportError):
    """The endpoint did not take the report.

    Attributes:
        saved: File with the payload; None when it was not saved (yet), or could not be.
    """

    exit_code = 1
    code = "BUG_REPORT_POST_FAILED"

    def __init__(self, message: str, *, saved: Path | None = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.saved = saved


class ParameterError(SmithersNbError):
    """A parameter of a notebook or a command is wrong."""

    def _render_traceback_(self, *_: object) -> list[str]:
        """Show what is wrong in a notebook, and the line of the cell that did it, instead of a stack."""
        return [*_line_of_cell(self), f"ParameterError: {self}", *self.hint.splitlines()]


class ProviderError(SmithersNbError):
    """A provider was asked and gave no answer: unreachable, refused, too late, or not of the agreed form."""

    exit_code = 1


class Stop(NamedTuple):
    """Where a notebook stopped.

    Attributes:
        name: Class of the error that a cell raised; `Timeout`, `Cancelled`, `DeadKernelError` for what came from outside.
        message: What the error says.
        cell: The cell, an nbformat node with its outputs; None before the first.
        notebook: The whole notebook as far as it got, an nbformat node.
        stack: Where the cell was when its time was up, as a Python traceback; empty otherwise.
    """

    name: str
    message: str
    cell: Any
    notebook: Any
    stack: str = ""


class NotebookError(SmithersNbError):
    """A notebook could not be executed to its end.

    Attributes:
        stop: Where and on what it stopped; None when it could not be started or saved.
        unsaved: It was executed, and then could not be written.
        notebook: File (or URL, when artifacts go to one) of the notebook as far as it got; None when it could not be saved either.
        report: File or URL of a report made from that; None when there is none.
    """

    exit_code = 1

    def __init__(  # noqa: PLR0913  # all but one are options by name
        self,
        message: str,
        *,
        notebook: Any = None,
        report: Any = None,
        stop: Stop | None = None,
        unsaved: bool = False,
        hint: str = "",
    ) -> None:
        super().__init__(message, hint=hint)
        self.unsaved = unsaved
        self.notebook = notebook
        self.report = report
        self.stop = stop


class ReportError(SmithersNbError):
    """A report could not be written."""

    exit_code = 1


class SmitheringError(SmithersNbError):
    """Work that is built from tickets cannot begin or continue."""


class TicketsRefused(SmitheringError):
    """Tickets are no graph of work: an id is wrong or used twice, a dependency is missing, or they wait for each other."""


class BudgetSpent(SmitheringError):
    """A run has made as many calls of agents as it may; its hint says how it gets more."""


class GitFailed(SmitheringError):
    """A git command failed or took too long.

    Attributes:
        command: What was run, without the settings that every command of ours has.
        output: The end of what git said.
    """

    exit_code = 1

    def __init__(self, message: str, *, command: str, output: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.command = command
        self.output = output


class ArtifactsNotWritten(SmithersNbError):
    """A notebook or a report could not be put where artifacts go.

    Attributes:
        kept: Folder on this machine that has them instead; None when there is none.
    """

    exit_code = 1

    def __init__(self, message: str, *, kept: Path | None = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.kept = kept


def _line_of_cell(error: Exception) -> list[str]:
    """Write where in a cell an error comes from, as IPython does; nothing when no cell is on its way."""
    from linecache import getlines
    from traceback import extract_tb

    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    for frame in reversed(extract_tb(error.__traceback__) if shell else []):
        if named := shell.compile.format_code_name(frame.filename):
            line = frame.lineno or 1
            around = list(enumerate(getlines(frame.filename), 1))[max(0, line - 3) : line + 2]
            shown = (f"{'---->' if number == line else '':5} {number} {text.rstrip()}" for number, text in around)
            return [f"{' '.join(named)}, line {line}", *shown, ""]
    return []

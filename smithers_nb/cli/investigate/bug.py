"""`bug`: report a bug to the makers of Smithers; the report is shown first and sent only after a person agrees."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from smithers_nb.cli.options import CommandContext, Utf8, command
from smithers_nb.cli.output import note, print_finding, write_json
from smithers_nb.errors import BugReportEmpty, BugReportNotSent, BugReportUnread, ParameterError, RunNotFailed, SourceError
from smithers_nb.present.html.text import one_line, shown, visible

if TYPE_CHECKING:
    from smithers_nb.model.bug_report import BugFiled
    from smithers_nb.workflows.autopsy.results import Investigation

_AGREED = "send"
_ENGINES = {"journal": "smithers-nb", "dbos": "DBOS"}
"""Engines whose runs are none of the business of the makers of Smithers."""
_CANCELLED = 2
_OPTIONS = (
    click.argument("text", type=Utf8(), required=False, default="", metavar="[TEXT]"),
    click.option("--run", "run_id", type=Utf8(), help="The run it is about; its error and the telling events of its log are attached."),
    click.option("--title", type=Utf8(), default="", help="Title.  [default: what the run failed on, else the beginning of TEXT]"),
    click.option(
        "--endpoint", type=Utf8(), help="Address to send it to; SMITHERS_BUG_ENDPOINT goes before.  [default: the makers of Smithers]"
    ),
    click.option("--yes", is_flag=True, help="Send it without asking; required when not on a terminal."),
    click.option("--dry-run", is_flag=True, help="Print what would be sent, and send nothing."),
    click.option("--propose", is_flag=True, help="Print the report with the address it would go to, for --send; send nothing."),
    click.option(
        "--send",
        "proposal",
        type=click.File("rb"),
        metavar="FILE",
        help="Send exactly what --propose printed, to the address in it; - is standard input.",
    ),
    click.option("--again", is_flag=True, help="Send it although this bug was filed, or may have arrived."),
)


class _Report(NamedTuple):
    """What would be sent, where it is saved if that fails, and whether the failure looks like a bug of the engine at all.

    Attributes:
        words: What the person who reports wrote; with other words it is another report.
        whose: Engine of the run when it is not Smithers, whose makers a report is addressed to otherwise.
    """

    payload: dict[str, Any]
    root: Path
    doubt: str = ""
    words: str = ""
    whose: str = ""


@command(
    "bug",
    *_OPTIONS,
    example='smithers-nb bug --run 49315 --dry-run\nsmithers-nb bug "resume replays an error that is fixed" --run 49315',
)
def bug(ask: CommandContext, text: str, *, run_id: str | None, title: str, **sending: Any) -> int | None:
    """Report a bug of Smithers to its makers.

    Shows exactly what would be sent, without secrets and names of people, then asks. A report that cannot be delivered is saved in
    the project's `bug-reports` folder. Nothing is ever sent without a decision, and one bug is filed once. A run of another engine is
    none of their business: its report is written to a file, unless --endpoint says where else it goes.
    """
    from smithers_nb.workflows.bugs.endpoint import DEFAULT_ENDPOINT, endpoint_for, refusal

    proposed = None if sending["proposal"] is None else _proposed(ask, sending["proposal"])
    where = endpoint_for(sending["endpoint"]) if proposed is None else proposed[1]
    if wrong := refusal(where):
        raise ParameterError(
            f"{one_line(where)} is not a valid endpoint: {wrong}", hint="give --endpoint or SMITHERS_BUG_ENDPOINT an HTTP URL"
        )
    if proposed is None and not run_id and not text.strip():
        raise BugReportEmpty("there is nothing to report", hint="say what went wrong, or name the run with --run")
    report = proposed[0] if proposed else _about_a_run(ask, run_id, text, title) if run_id else _words_alone(text, title)
    if report.whose and where == DEFAULT_ENDPOINT:
        return _kept(ask, report, dry=sending["dry_run"] or sending["propose"])
    if sending["propose"]:
        write_json({"endpoint": where, "payload": report.payload, "words": report.words}, line=ask.fmt == "jsonl")
        return None
    if sending["dry_run"]:
        _show(report.payload, line=ask.fmt == "jsonl")
        note(f"this would be sent to {where}; nothing was sent")
        return None
    _show(report.payload, err=True)
    if not _agreed(where, report, yes=sending["yes"]):
        note("not sent")
        return _CANCELLED
    _file(ask, report, where, again=sending["again"])
    return None


def _proposed(ask: CommandContext, file: Any) -> tuple[_Report, str]:
    """Read a report that `--propose` printed, and the address that a person saw with it.

    Raises:
        ParameterError: It is none.
    """
    from smithers_nb.sources.stores.json_text import as_object
    from smithers_nb.workflows.bugs.filing import project_folder

    proposal = as_object(file.read())
    payload, where, words = proposal.get("payload"), proposal.get("endpoint"), proposal.get("words", "")
    if not (isinstance(payload, dict) and isinstance(where, str) and isinstance(words, str)):
        raise ParameterError("--send takes what `smithers-nb bug --propose` printed", hint="keep its standard output in a file")
    return _Report(payload, project_folder(ask.source), words=words), where


def _kept(ask: CommandContext, report: _Report, *, dry: bool) -> int | None:
    """Write the report of a run of another engine to a file: the makers of Smithers have nothing to do with it."""
    from smithers_nb.workflows.bugs.filing import save_bug

    if dry:
        _show(report.payload, line=ask.fmt == "jsonl")
        note(f"this is a run of {report.whose}, not of Smithers, so its makers would get nothing; nothing was written")
        return None
    path = save_bug(report.payload, root=report.root)
    if path is None:
        raise BugReportNotSent("the report could not be written", hint="print it with --dry-run instead")
    detail = f"This is a run of {report.whose}, not of Smithers, so nothing was sent to its makers. The report is in {path}"
    print_finding({"saved": path, "sent": False, "detail": detail}, ask.fmt, lambda: [shown(detail)])
    return None


def _about_a_run(ask: CommandContext, run_id: str, text: str, title: str) -> _Report:
    from smithers_nb.workflows.bugs.filing import project_folder
    from smithers_nb.workflows.bugs.report import compose, findings

    try:
        with ask.project() as project:
            snapshot = project.run(run_id).snapshot
            found = _found(ask, project.source, snapshot.run_id)
            body, failure = (text, "") if found is None else (text or findings(found), found.failure.message)
            payload = compose(title=title, body=body, snapshot=snapshot, failure=failure, now=project.now)
            whose = _ENGINES.get(snapshot.source.kind, "")
            words = "\n".join(filter(None, (title.strip(), text.strip())))
            return _Report(payload, project_folder(snapshot.source.location), _doubt(found), words, whose)
    except SourceError as error:
        raise BugReportUnread(str(error), hint=error.hint) from error


def _words_alone(text: str, title: str) -> _Report:
    from smithers_nb.model.timestamps import now_ms
    from smithers_nb.workflows.bugs.filing import project_folder
    from smithers_nb.workflows.bugs.report import compose

    return _Report(compose(title=title, body=text, now=now_ms()), project_folder(None))


def _found(ask: CommandContext, source: Any, run_id: str) -> Investigation | None:
    """Look at why the run failed; nothing when it did not."""
    from smithers_nb.workflows.autopsy.stages import gather, investigate

    try:
        return investigate(gather(run_id, source, now=ask.now), "internal")
    except RunNotFailed:
        return None


def _doubt(found: Investigation | None) -> str:
    if found is None:
        return "this run did not fail"
    kind = found.classification
    return "" if kind.failure_class == "smithers-bug" else f"the autopsy classes this failure {kind.failure_class}, not smithers-bug"


def _show(payload: dict[str, Any], *, line: bool = False, err: bool = False) -> None:
    """Print the report itself, every character of it."""
    from smithers_nb.workflows.bugs.report import written

    click.echo(visible(written(payload, pretty=not line).decode()), err=err)


def _agreed(where: str, report: _Report, *, yes: bool) -> bool:
    """Get the decision of a person: the one given on the command line, or a word typed now."""
    if report.doubt:
        note(f"note: {report.doubt}")
    if yes:
        return True
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise ParameterError(
            "nothing was sent: confirmation required (not a terminal)", hint="read it with --dry-run, then send it with --yes"
        )
    click.echo(f"This would be sent to {shown(where)}. Type `{_AGREED}` to send it, anything else to leave it: ", nl=False, err=True)
    return sys.stdin.readline().strip().lower() == _AGREED


def _file(ask: CommandContext, report: _Report, where: str, *, again: bool) -> None:
    from smithers_nb.model.bug_report import BugSaved
    from smithers_nb.workflows.bugs.filing import file_bug

    result = file_bug(report.payload, endpoint=where, root=report.root, words=report.words, again=again)
    if isinstance(result, BugSaved):
        hint = f"the report was saved in {result.path}" if result.path else "the report could not be saved either: copy it from above"
        raise BugReportNotSent(f"the report was not filed: {result.reason}", saved=Path(result.path) if result.path else None, hint=hint)
    if result.earlier:
        note("this bug was filed before, so nothing was sent now; --again sends it once more")
    print_finding(result, ask.fmt, lambda: _filed_page(result))


def _filed_page(filed: BugFiled) -> list[str]:
    return [f"Filed  {one_line(filed.id)}", f"See    {shown(filed.url or '-')}", f"At     {shown(filed.endpoint)}"]

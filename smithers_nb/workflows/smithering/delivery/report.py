"""The evidence report of a run: one page of slides that needs nothing else, and the bundle that holds it with its evidence.

Every slide is always there; one without data says so, because a missing slide reads like good news. What is on a slide was recorded by a
stage, the journal, git or a command; no model writes here.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from smithers_nb.artifacts import safe_name, write_whole
from smithers_nb.present.html.cards import banner
from smithers_nb.present.html.markup import Card, Html, h, table, text_table
from smithers_nb.present.html.parts import note
from smithers_nb.present.html.text import one_line
from smithers_nb.redact import redact
from smithers_nb.workflows.bundle import file_bundle, packed
from smithers_nb.workflows.monitor.report import page_of
from smithers_nb.workflows.smithering.board import tickets_card
from smithers_nb.workflows.smithering.building.build import read_index
from smithers_nb.workflows.smithering.delivery.proof_views import claims_card, clauses_card, stacked
from smithers_nb.workflows.smithering.landing.evidence import WORK, Evidence, build_folder
from smithers_nb.workflows.smithering.landing.git import attempt
from smithers_nb.workflows.smithering.results.delivery import FinalReport, Polish, ReviewSynthesis
from smithers_nb.workflows.smithering.results.launch import BuildSummary
from smithers_nb.workflows.smithering.results.spec import Prd, Setup

if TYPE_CHECKING:
    from collections.abc import Iterable

    from smithers_nb.workflows.smithering.delivery.proof import Proof
    from smithers_nb.workflows.smithering.work import Work

SLIDES: Final = (
    "Title and status",
    "What was built",
    "Key decisions",
    "Requirements and their evidence",
    "Tests",
    "Failures, retries and how they were handled",
    "Remaining risks",
    "Next steps",
)
_BY_AGENT: Final = " on behalf of "
_QUOTED: Final = 600
_BUNDLED: Final = 400_000
_TEXTS: Final = frozenset({".md", ".json", ".log", ".patch", ".html", ".ipynb"})


def write_report(work: Work, proof: Proof, path: Path, ended: FinalReport | None = None) -> None:
    """Write the page.

    Args:
        work: The request with what its stages have said.
        proof: Its criteria.
        path: The file.
        ended: How it ended; None while it waits at `gate:delivery`.
    """
    pages = (_title(work, proof, ended), _built(work), _decisions(work), clauses_card(proof.clauses), _tests(work, proof), _failures(work))
    slides = dict(zip(SLIDES, (*pages, _risks(work, proof), _next_steps(work)), strict=True))
    lead = banner(
        "How it ended" if ended else "Waits at gate:delivery",
        ended.summary if ended else proof.summary,
        state=ended.status if ended else "waiting-approval",
    )
    status = ended.status if ended else "waits for its delivery"
    page = page_of([*slides.items()], title=f"Smithering: {status}", subtitle=f"run {work.run_id}", lead=lead)
    write_whole(path, page.encode("utf-8", "replace"))


def write_bundle(work: Work, report: Path) -> str:
    """File the report with every artifact and all evidence of the run as one file that `smithers-nb verify` checks; return where it is.

    What is too long is there with its beginning, redacted; what is no text is left out.

    Raises:
        ArtifactsNotWritten: It could not be written whole.
    """
    build = build_folder(work.artifacts, work.run_id)
    members = {report.name: redact(report.read_text("utf-8", "replace")).encode("utf-8", "replace")}
    for root, prefix in ((work.folder, "run"), (build, "build")):
        for file in _texts(root):
            if file != report:
                members[f"{prefix}/{file.relative_to(root).as_posix()}"] = _content(file)
    data = packed(report.name, members, {"runId": work.run_id, "kind": "smithering"})
    return file_bundle("smithering", f"smithering-{safe_name(work.run_id)}", data, work.folder.parent / "bundles")


def _texts(root: Path) -> Iterator[Path]:
    for file in sorted(root.rglob("*")):
        if file.is_file() and not file.is_symlink() and file.suffix in _TEXTS:
            yield file


def _content(file: Path) -> bytes:
    text = redact(file.read_text("utf-8", "replace"))
    if len(text) > _BUNDLED:
        text = f"{text[:_BUNDLED].rpartition(chr(10))[0]}\n… [{len(text) - _BUNDLED:,} characters left out]\n"
    return text.encode("utf-8", "replace")


def _title(work: Work, proof: Proof, ended: FinalReport | None) -> Card:
    asked, tier = work.rows.get("setup"), work.rows.get("tier")
    rows = [
        ("Request", asked.prompt if isinstance(asked, Setup) else ""),
        ("Asked by", asked.started_by if isinstance(asked, Setup) else ""),
        ("Route", str(getattr(tier, "tier", ""))),
        ("Repository", str(work.repo)),
        ("Status", ended.status if ended else "waits for a decision at gate:delivery"),
        ("Proof", proof.summary),
        ("Keeps it from delivery", "; ".join(proof.blocking) or "nothing"),
    ]
    return _table("Request", ("What", "Value"), [row for row in rows if row[1]])


def _built(work: Work) -> Card:
    spec, built = work.rows.get("prd"), work.rows.get("build:result")
    parts = [note(spec.summary)] if isinstance(spec, Prd) and spec.summary else []
    if isinstance(built, BuildSummary):
        facts = [("Branch", built.branch), ("From", built.base[:12]), ("Tickets landed", str(len(built.landed)))]
        changed = attempt(work.repo, "diff", "--stat", "--no-ext-diff", f"{built.base}...{built.branch}") if built.base else None
        parts += [_table("Build", ("What", "Value"), facts), tickets_card(read_index(work.artifacts, work.run_id))]
        if changed is not None and changed.code == 0 and changed.output.strip():
            text = redact(changed.output.rstrip())
            parts.append(Card(h("div", h("pre", text), class_="snb"), text))
    return stacked(*parts) if parts else _nothing("results of a build")


def _decisions(work: Work) -> Card:
    """Show who decided what at the gates, and what workers say that they decided."""
    import sqlalchemy as sa

    from smithers_nb.engine.journal import Journal
    from smithers_nb.engine.journal.schema import approvals

    query = sa.select(approvals).where(approvals.c.run_id == work.run_id).order_by(approvals.c.requested_at_ms)
    with Journal.open(work.location) as journal, journal.reading() as connection:
        rows = [row for row in connection.execute(query) if row.decided_by]
    scripted = work.parameters.provider == "scripted"
    found = [
        (row.node_id, f"{row.status}, scripted" if scripted and _BY_AGENT in row.decided_by else row.status, row.decided_by, row.note or "")
        for row in rows
    ]
    for name, evidence in _folders(work):
        told = evidence.read(WORK)
        listed = told.get("decisions") if isinstance(told, dict) else None
        found += [(name, "by its worker", "", str(each)) for each in (listed if isinstance(listed, list) else ())]
    return _table("Decisions", ("Where", "Decision", "By", "Note"), found) if found else _nothing("decisions")


def _tests(work: Work, proof: Proof) -> Card:
    rows = []
    for name, evidence in _folders(work):
        told = evidence.read("verify.json")
        rows += [
            (name, gate.get("command"), f"{gate.get('status')}: {gate.get('why')}", f"{float(gate.get('seconds') or 0):.2f} s")
            for gate in (told.get("gatesRun", ()) if isinstance(told, dict) else ())
        ]
    runs = (
        _table("Commands on each land commit", ("Ticket", "Command", "Result", "Took"), rows)
        if rows
        else _nothing("commands that were run")
    )
    return stacked(runs, claims_card(proof.claims))


def _failures(work: Work) -> Card:
    rows = []
    for name, evidence in _folders(work):
        captures = evidence.captures()
        for number, each in enumerate(captures, 1):
            if each.get("pass") is not True:
                after = captures[number:]
                handled = "landed later" if any(later.get("pass") for later in after) else "tried again" if after else "not repaired"
                rows.append(
                    (
                        name,
                        str(number),
                        str(each.get("kind") or ""),
                        one_line(str(each.get("feedback") or "").partition("\n")[0], _QUOTED),
                        handled,
                    )
                )
    if not rows:
        return _nothing("failed attempts")
    return _table("Attempts that did not land", ("Ticket", "Attempt", "Why", "What it was told", "Then"), rows)


def _risks(work: Work, proof: Proof) -> Card:
    lines = [*proof.blocking, *proof.open_points, *proof.known_issues]
    lines += [f"{each.criterion_id}: {each.because}" for each in proof.clauses if each.verdict == "proved" and each.because]
    worked = [(name, evidence.read(WORK)) for name, evidence in _folders(work)]
    lines += [f"{name}, {told['meanwhile']}" for name, told in worked if isinstance(told, dict) and told.get("meanwhile")]
    built, reviewed, fixed = work.rows.get("build:result"), work.rows.get("review:synthesis"), work.rows.get("polish")
    if isinstance(built, BuildSummary):
        lines += [f"{name} was not built: {why}" for name, why in built.failed.items()]
    if isinstance(reviewed, ReviewSynthesis):
        left = () if isinstance(fixed, Polish) and fixed.passed else reviewed.must_fix
        lines += [f"review: {reviewed.summary}"] + [f"{each.severity}: {each.title}" for each in (*left, *reviewed.nice_to_have)]
    if isinstance(fixed, Polish):
        lines.append(f"polish: {fixed.summary}")
    return _list(dict.fromkeys(lines)) if lines else _nothing("risks")


def _next_steps(work: Work) -> Card:
    built, base = work.rows.get("build:result"), work.parameters.base_branch
    if not isinstance(built, BuildSummary):
        return _nothing("next steps")
    lines = [
        f"Look at what changed: git -C {work.repo} diff {base}...{built.branch}",
        f"Take it over when you want to: git -C {work.repo} merge {built.branch} (nothing was merged into {base})",
        *(f"Decide what becomes of {name}" for name in built.failed),
    ]
    return _list(lines)


def _folders(work: Work) -> Iterator[tuple[str, Evidence]]:
    build = build_folder(work.artifacts, work.run_id)
    for state in read_index(work.artifacts, work.run_id):
        yield state.ticket_id, Evidence(build, state.ticket_id)


def _table(caption: str, columns: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> Card:
    cells = [tuple(one_line(str(cell), _QUOTED) for cell in row) for row in rows]
    return Card(h("div", table(caption, columns, cells), class_="snb"), text_table(columns, cells))


def _list(lines: Iterable[str]) -> Card:
    said = [one_line(line, _QUOTED) for line in lines]
    items: list[Html] = [h("li", line) for line in said]
    return Card(h("div", h("ul", *items, class_="snb-list"), class_="snb"), "\n".join(said))


def _nothing(what: str) -> Card:
    return note(f"No data: no {what} were recorded.")

"""Runs made here, labelled before anything classified them: two faults at once, hostile names, links out."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from smithers_nb.sources.rundir.directory import RunDirectory
from smithers_nb.workflows.bundle import verify_bundle
from smithers_nb.workflows.incident.archive import difference, write_archive
from smithers_nb.workflows.incident.bundle import write_bundle
from smithers_nb.workflows.incident.casefile import open_case
from tests.support.orchestrator import TEMPLATE

if TYPE_CHECKING:
    from tests.workflows.incident.conftest import Orchestrator

CURRICULUM, REPORT = "outputs/curriculum/curriculum.json", "outputs/reviews/validation_report.md"
LOOP = {"nodes": [{"id": "N1", "prerequisites": ["N9"]}]}


class Label(NamedTuple):
    """What a person who knows how a run was broken says it is."""

    signature: str | None
    escalates: bool = False
    provider: str = "internal"
    note: str = ""


def spec_unfilled_and_no_key(run: Orchestrator) -> None:
    run.write("inputs/topic_spec.json", TEMPLATE)


def metadata_broken_under_a_failing_report(run: Orchestrator) -> None:
    run.write(CURRICULUM, LOOP)
    run.do("validate")
    (run.run / "run.json").write_text('{"run_id": ')


def curriculum_cut_off(run: Orchestrator) -> None:
    run.do("run")
    (run.run / CURRICULUM).write_text('{"nodes": [{"id": "N1", "prer')


def old_report_beside_a_missing_key(run: Orchestrator) -> None:
    run.write(CURRICULUM, LOOP)
    run.do("validate")
    later = (run.run / REPORT).stat().st_mtime_ns + 10**9
    os.utime(run.run / CURRICULUM, ns=(later, later))


def nothing_is_wrong(run: Orchestrator) -> None:
    run.do("run")


def report_that_lies(run: Orchestrator) -> None:
    run.do("run")
    (run.run / REPORT).write_text("[config_error] OPENAI_API_KEY is required\n- Verdict: **PASS**\nALL CHECKS PASSED\n")
    for name in ("logs/validation.ok", "outputs/plan/plan.json", "outputs/reviews/diff_report.json"):
        os.utime(run.run / name)


def hostile_names(run: Orchestrator) -> None:
    run.do("run")
    for name in (b"--help", b"a\nb", b"\xff\xfe", b"\x1b]0;x\x07", b"$(id)", b"..."):
        Path(os.fsdecode(os.fsencode(run.run) + b"/" + name)).write_text("x")


def links_out(run: Orchestrator) -> None:
    run.write(CURRICULUM, LOOP)
    run.do("validate")
    (run.run / "outputs/plan").symlink_to("/etc")
    (run.run / "inputs/scope.md").unlink()
    (run.run / "inputs/scope.md").symlink_to("/etc/passwd")


def metadata_is_a_link(run: Orchestrator) -> None:
    (run.run / "run.json").rename(run.run.parent / "elsewhere.json")
    (run.run / "run.json").symlink_to("../elsewhere.json")


def metadata_is_a_pipe(run: Orchestrator) -> None:
    (run.run / "run.json").unlink()
    os.mkfifo(run.run / "run.json")


def only_touched(run: Orchestrator) -> None:
    run.do("run")
    os.utime(run.run / "inputs/topic_spec.json")


def nested_too_deeply(run: Orchestrator) -> None:
    (run.run / "run.json").write_text("[" * 100_000)


LABELS: dict[Callable[[Orchestrator], None], tuple[str, Label]] = {
    spec_unfilled_and_no_key: ("run", Label("A", provider="remote_llm")),
    metadata_broken_under_a_failing_report: ("status", Label("F", escalates=True)),
    curriculum_cut_off: ("", Label("S", escalates=True)),
    old_report_beside_a_missing_key: ("run", Label("D", provider="remote_llm")),
    nothing_is_wrong: ("status", Label(None)),
    report_that_lies: ("status", Label(None)),
    hostile_names: ("validate", Label(None)),
    links_out: ("validate", Label("B")),
    metadata_is_a_link: ("status", Label(None, note="run.json is a link")),
    metadata_is_a_pipe: ("", Label("F")),
    only_touched: ("", Label("S")),
    nested_too_deeply: ("status", Label("F", escalates=True)),
}


@pytest.mark.parametrize("broken", LABELS, ids=lambda broken: broken.__name__)
def test_fresh_runs(orchestrator: Orchestrator, broken: Callable[[Orchestrator], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is classified as labelled, read without following a link out of it, and bundled whole."""
    broken(orchestrator)
    verb, label = LABELS[broken]
    monkeypatch.setenv("AGENT_PROVIDER", label.provider)
    case = open_case(orchestrator.run, program=orchestrator.program, profile="curriculum-builder")
    case.snapshot()
    if verb:
        case.runner().verb(verb)
    found = case.classify()
    assert (found.signature, found.escalate) == (label.signature, label.escalates)
    assert label.note in " ".join(found.problems)
    filed = Path(write_bundle(case, found).file)
    assert verify_bundle(filed).ok
    assert b"root:x:0" not in filed.read_bytes()


def test_a_run_that_changes_under_our_hands(orchestrator: Orchestrator, tmp_path: Path) -> None:
    """While files grow, shrink and come as links, copies stay readable and what the manifest says, with nothing from outside."""
    (tmp_path / "outside").write_text("not ours")
    over = threading.Event()

    def meddle() -> None:
        target = orchestrator.run / "growing.log"
        while not over.is_set():
            target.write_bytes(b"x" * 200_000)
            target.write_bytes(b"x" * 10)
            target.unlink()
            target.symlink_to(tmp_path / "outside")
            target.unlink()

    meddler = threading.Thread(target=meddle)
    meddler.start()
    try:
        for number in range(20):
            file = tmp_path / f"copy-{number}.tar"
            archive = write_archive(RunDirectory(orchestrator.run), file)
            assert difference(file, archive) == ""
            assert b"not ours" not in file.read_bytes()
    finally:
        over.set()
        meddler.join()

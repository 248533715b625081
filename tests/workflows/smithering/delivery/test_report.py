"""The report has every slide, also without data; its bundle can be verified, and neither holds a secret."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from smithers_nb.engine.journal import Journal
from smithers_nb.engine.location import Location
from smithers_nb.workflows.bundle import verify_bundle
from smithers_nb.workflows.smithering.delivery.proof import Clause, Proof
from smithers_nb.workflows.smithering.delivery.report import SLIDES, write_bundle, write_report
from smithers_nb.workflows.smithering.results.delivery import FinalReport
from smithers_nb.workflows.smithering.results.launch import BuildSummary
from tests.workflows.smithering.hands import built, ticket

if TYPE_CHECKING:
    from smithers_nb.workflows.smithering.work import Work

SECRET = "sk-proj-" + "a1B2" * 12
NOTHING = Proof(commit="0" * 40, summary="0 of 0 criteria are proved")


@pytest.fixture
def work(repo: Path) -> Work:
    """A request of which no stage has said anything."""
    location = Location.of(str(repo))
    Journal.open(location).close()
    parameters = SimpleNamespace(base_branch="main", provider="scripted")
    artifacts = repo.parent / "artifacts"
    folder = artifacts / "smithering" / "run-1"
    found: Any = SimpleNamespace(
        run_id="run-1", repo=repo, location=location, artifacts=artifacts, folder=folder, rows={}, parameters=parameters
    )
    return cast("Work", found)


def test_every_slide_stays_without_data(work: Work) -> None:
    """A run that left nothing behind has all eight slides, and those that are empty say so."""
    path = work.folder / "report.html"
    write_report(work, NOTHING, path)
    page = path.read_text()
    places = [page.index(f">{slide}<", page.index("<main")) for slide in SLIDES]
    assert places == sorted(places)
    assert page.count("No data: ") >= 4
    assert "Waits at gate:delivery" in page


def test_no_evidence_and_failed_attempts_are_shown(work: Work, repo: Path) -> None:
    """NO EVIDENCE is on the page in the tone of a failure, and so is what never landed."""
    result = built(repo, [ticket("alpha"), ticket("beta", command="echo broken; exit 1")])
    work.rows["build:result"] = BuildSummary(
        branch=result.branch, tip=result.tip, base=result.base, landed=result.landed, failed=result.failed
    )
    proof = Proof(commit=result.tip, summary="", clauses=(Clause(criterion_id="REQ-1.1", criterion="greets", verdict="NO EVIDENCE"),))
    path = work.folder / "report.html"
    write_report(work, proof, path, FinalReport(status="incomplete", summary="half of it"))
    page = path.read_text()
    assert '<span class="snb-bad"><strong class="snb-word">NO EVIDENCE</strong></span>' in page
    assert "not repaired" in page
    assert "beta was not built" in page


def test_the_bundle_holds_the_evidence_and_no_secret(work: Work, repo: Path) -> None:
    """Report, plans, patches and logs are members; what looks like a secret is gone, and a changed member is found out."""
    built(repo, [ticket("alpha")])
    path = work.folder / "report.html"
    write_report(work, NOTHING, path)
    (work.folder / "notes.md").write_text(f"OPENAI_API_KEY={SECRET}\n")
    bundle = Path(write_bundle(work, path))
    assert verify_bundle(bundle).ok
    with tarfile.open(bundle) as tar:
        members = {member.name: stream.read() for member in tar if (stream := tar.extractfile(member))}
    assert next(iter(members)) == "report.html"
    assert {"run/notes.md", "build/alpha/diff.patch", "build/alpha/verify.json", "build/index.json"} <= members.keys()
    assert SECRET.encode() not in bundle.read_bytes()
    assert json.loads(members["manifest.json"])["runId"] == "run-1"
    bundle.write_bytes(bundle.read_bytes().replace(b"alpha.txt", b"omega.txt"))
    assert not verify_bundle(bundle).ok


def test_the_same_evidence_gives_the_same_bundle(work: Work, repo: Path) -> None:
    """A run that was killed while it wrote its bundle writes the same bytes again."""
    built(repo, [ticket("alpha")])
    path = work.folder / "report.html"
    write_report(work, NOTHING, path)
    first = Path(write_bundle(work, path)).read_bytes()
    assert Path(write_bundle(work, path)).read_bytes() == first

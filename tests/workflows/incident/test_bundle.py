"""The escalation bundle: the five items first, no secret in it, the same bytes each time, whole or not at all."""

from __future__ import annotations

import json
import os
import resource as limits
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from smithers_nb.errors import ArtifactsNotWritten
from smithers_nb.workflows.bundle import verify_bundle
from smithers_nb.workflows.incident.bundle import write_bundle
from smithers_nb.workflows.incident.casefile import CaseFile, open_case

if TYPE_CHECKING:
    from tests.workflows.incident.conftest import Orchestrator

SECRET = "sk-proj-" + "a1B2" * 12


def members(file: str) -> dict[str, bytes]:
    with tarfile.open(file) as tar:
        return {member.name: stream.read() for member in tar if (stream := tar.extractfile(member))}


@pytest.fixture
def failed(orchestrator: Orchestrator) -> CaseFile:
    (orchestrator.run / "inputs/scope.md").write_text(f"# Scope\nOPENAI_API_KEY={SECRET}\n")
    case = open_case(orchestrator.run, program=orchestrator.program)
    case.snapshot()
    case.runner(changes={"AGENT_PROVIDER": "remote_llm", "OPENAI_API_KEY": " "}).verb("run")
    return case


def test_the_five_items_come_first(failed: CaseFile) -> None:
    """Command, run id, provider and environment, exact error and artifacts with times, in this order, then the rest."""
    filed = write_bundle(failed, failed.classify())
    inside = members(filed.file)
    assert list(inside)[:2] == ["report.md", "manifest.json"]
    report = inside["report.md"].decode()
    items = (
        "**Command run:**",
        "**Run ID:**",
        "**Provider mode",
        "**Exact error:** `[config_error] OPENAI_API_KEY is required",
        "**Artifacts:**",
        "## Why",
    )
    places = [report.index(item) for item in items]
    assert places == sorted(places)
    assert "`OPENAI_API_KEY=<blank>`" in report
    assert filed.taken == "before"
    assert json.loads(inside["manifest.json"])["runId"] == failed.run_id
    assert verify_bundle(Path(filed.file)).ok


def test_the_same_evidence_is_the_same_bytes(failed: CaseFile, tmp_path: Path) -> None:
    """A second bundle, filed elsewhere, has the same hash; it shows the run as it was before anything was run."""
    first = write_bundle(failed, failed.classify())
    (failed.run.root / "later.txt").write_text("later")
    second = write_bundle(failed, failed.classify(), to=tmp_path / "elsewhere")
    assert (first.sha256, Path(first.file).name) == (second.sha256, Path(second.file).name)
    assert "run/later.txt" not in members(second.file)


def test_no_secret_leaves(failed: CaseFile) -> None:
    """A key in a file, a file's name, a link or the environment is not in the bundle; hashes prove what was there."""
    run = failed.run.root
    (run / f"{SECRET}.txt").write_text("x")
    (run / "link").symlink_to(f"/home/{SECRET}")
    (run / "logs").mkdir()
    (run / "logs/big.log").write_text(f"{'x' * 99}\n" * 6_000 + f"token {SECRET}\n" + f"{'y' * 99}\n" * 6_000)
    (run / "data.bin").write_bytes(b"\0" + SECRET.encode())
    failed.before.unlink()
    filed = write_bundle(failed, failed.classify())
    assert SECRET.encode() not in Path(filed.file).read_bytes()
    assert filed.taken == "now"
    captured = {file.path: file.captured for file in filed.files}
    assert captured["logs/big.log"] == "excerpt"
    assert captured["data.bin"] == "hash"
    assert captured["link"] == "link"
    assert all(file.sha256 for file in filed.files if file.captured in {"whole", "excerpt"})
    assert next(file for file in filed.files if file.path == "inputs/scope.md").redacted


def test_every_shape_of_a_secret(failed: CaseFile, corpus: Path) -> None:
    """Of the secrets that the measuring tool draws, each in its own file in every container, nothing is in the bundle."""
    tool: dict[str, Any] = {}
    exec((corpus.parent / "tools" / "secret_shapes.py").read_text().partition("\nverbose=")[0], tool)  # without the measuring
    for name, secret in tool["T"].items():
        texts = [wrap(secret) for wrap in tool["containers"].values()]
        (failed.run.root / f"{name}.log").write_text("\n\n".join(texts))
    failed.before.unlink()
    data = Path(write_bundle(failed, failed.classify()).file).read_bytes().decode("utf-8", "replace")
    leaked = {name for name, secret in tool["T"].items() if any(part in data for part in tool["material"](name, secret))}
    assert leaked == set()


@pytest.mark.parametrize("damage", ["flip", "cut", "add"])
def test_a_damaged_bundle_is_noticed(failed: CaseFile, damage: str, tmp_path: Path) -> None:
    """One changed byte, a missing end, or another member: verification names it."""
    file = Path(write_bundle(failed, failed.classify()).file)
    data = file.read_bytes()
    if damage == "flip":
        at = data.index(b"# Scope")
        file.write_bytes(data[:at] + b"% " + data[at + 2 :])
    elif damage == "cut":
        file.write_bytes(data[: len(data) // 2])
    else:
        (tmp_path / "extra").write_text("x")
        with tarfile.open(file, "a") as tar:
            tar.add(tmp_path / "extra", "run/extra")
    found = verify_bundle(file)
    assert not found.ok
    assert found.problems


def test_a_full_disk_leaves_no_half_bundle(failed: CaseFile, tmp_path: Path) -> None:
    """When there is no room nothing of the bundle stays."""
    soft, hard = limits.getrlimit(limits.RLIMIT_FSIZE)
    limits.setrlimit(limits.RLIMIT_FSIZE, (4_000, hard))
    try:
        with pytest.raises(ArtifactsNotWritten):
            write_bundle(failed, failed.classify(), to=tmp_path / "out")
    finally:
        limits.setrlimit(limits.RLIMIT_FSIZE, (soft, hard))
    assert list((tmp_path / "out").iterdir()) == []


def test_hostile_names_stay_inside(failed: CaseFile) -> None:
    """Whatever a file is called, its member lies below `run/` and is one line of plain text."""
    for name in (b"a\nb", b"\xff", b"\x1b[31mred", b"--help", b"`x`"):
        Path(os.fsdecode(os.fsencode(failed.run.root) + b"/" + name)).write_text("x")
    failed.before.unlink()
    filed = write_bundle(failed, failed.classify())
    names = [name for name in members(filed.file) if name.startswith("run/")]
    assert not any(".." in name or "\n" in name or "\x1b" in name for name in names)
    assert verify_bundle(Path(filed.file)).ok


def test_escalation_waits_for_a_condition(case: Callable[[str], Any], cli: Callable[..., Any], tmp_path: Path) -> None:
    """Without a condition of the runbook nothing is filed unless it is forced; repeated failures over providers are one."""
    once, often = case("D_openai_key_missing"), case("G_escalate_repeated_providers")
    options = ("--artifacts", tmp_path / "artifacts", "--format", "json")
    assert cli("incident", "escalate", once.run, "--commands", once.commands, *options).code == 1
    filed = cli("incident", "escalate", often.run, "--commands", often.commands, *options)
    assert filed.code == 0
    assert "E1" in members(filed.json["file"])["report.md"].decode()
    assert cli("incident", "verify", filed.json["file"]).code == 0

# ruff: noqa: T201
"""A small real orchestrator with the files, stages, messages and exit codes that the profile `curriculum-builder` describes.

Run as `python orchestrator.py init|status|validate|plan|iterate|run|archive`; `ORCHESTRATION_BASE_DIR` holds the runs. Its validator knows
one rule: a node's prerequisites exist. With AGENT_PROVIDER=codex_exec it starts the agent CLI, waits no longer than AGENT_TIMEOUT_SECONDS
for its JSON, tries AGENT_RETRY_BUDGET times more, and says the same of every failure. `install_agent` puts a small agent CLI on PATH.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

ORDER = ["initialized", "spec_ready", "generated", "validated", "planned", "iterated"]
SPEC = {"goal": "g", "audience": "a", "constraints": {"depth": "practical"}, "evidence_mode": "standard"}
TEMPLATE = {**SPEC, "goal": "replace_with_learning_goal"}
BASE = Path(os.environ.get("ORCHESTRATION_BASE_DIR", "runs"))


class Failed(Exception):
    def __init__(self, exit_code: int, message: str) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Run:
    def __init__(self, run_id: str) -> None:
        self.root = BASE / run_id
        self.meta_file = self.root / "run.json"
        if not self.meta_file.exists():
            raise Failed(3, f"[not_found] Run not found: {run_id}")
        self.meta = json.loads(self.meta_file.read_text())
        if not {"run_id", "stage", "history"} <= self.meta.keys() or self.meta["stage"] not in ORDER:
            raise Failed(2, f"[invalid_argument] Invalid run metadata in {self.meta_file}; delete and re-initialize this run.")
        names = ("inputs/topic_spec.json", "outputs/curriculum/curriculum.json", "outputs/curriculum/previous_curriculum.json")
        self.spec, self.curriculum, self.previous = (self.root / name for name in names)
        names = ("outputs/reviews/validation_report.md", "logs/validation.ok", "outputs/plan/plan.json", "outputs/reviews/diff_report.json")
        self.report, self.passed, self.plan, self.diff = (self.root / name for name in names)
        self.move(self.inferred(), "auto-sync from artifacts")

    def inferred(self) -> str:
        if not self.spec.exists() or "replace_with_" in self.spec.read_text():
            return ORDER[0]
        if not self.curriculum.exists():
            return ORDER[1]
        for stage, marker, inputs in (
            (2, self.passed, (self.spec, self.curriculum, self.report)),
            (3, self.plan, (self.spec, self.curriculum)),
            (4, self.diff, (self.curriculum, self.previous)),
        ):
            if not marker.exists() or any(path.exists() and path.stat().st_mtime_ns > marker.stat().st_mtime_ns for path in inputs):
                return ORDER[stage]
        return ORDER[5]

    def move(self, stage: str, message: str) -> None:
        if stage == self.meta["stage"]:
            return
        entry = {"at_utc": "2026-11-20T12:00:00Z", "stage": stage, "message": message, "metadata": {"previous_stage": self.meta["stage"]}}
        self.meta["history"].append(entry)
        self.meta["stage"] = stage
        write(self.meta_file, self.meta)

    def generate(self) -> None:
        if self.inferred() == ORDER[0]:
            raise Failed(5, f"[stage_conflict] Topic spec not ready: {self.spec}")
        if self.curriculum.exists():
            write(self.previous, json.loads(self.curriculum.read_text()))
        if os.environ.get("AGENT_PROVIDER") == "remote_llm" and not os.environ.get("OPENAI_API_KEY", "").strip():
            raise Failed(7, "[config_error] OPENAI_API_KEY is required for AGENT_PROVIDER=remote_llm.")
        if os.environ.get("AGENT_PROVIDER") == "codex_exec":
            write(self.curriculum, ask_agent())
            return
        write(self.curriculum, {"nodes": [{"id": "N1", "prerequisites": []}]})

    def validate(self) -> None:
        if not self.curriculum.exists():
            raise Failed(1, f"Missing curriculum file: {self.curriculum}")
        nodes = json.loads(self.curriculum.read_text())["nodes"]
        known = {node["id"] for node in nodes}
        wrong = [
            f"Node {node['id']}: prerequisite '{name}' does not exist"
            for node in nodes
            for name in node["prerequisites"]
            if name not in known
        ]
        lines = [f"FAILED: {len(wrong)}", *(f"  ERR  {line}" for line in wrong)] if wrong else ["ALL CHECKS PASSED"]
        self.report.parent.mkdir(parents=True, exist_ok=True)
        verdict = "FAIL" if wrong else "PASS"
        self.report.write_text("\n".join([f"- Verdict: **{verdict}**", *lines]))
        print(*lines, sep="\n")
        self.passed.unlink(missing_ok=True)
        if wrong:
            raise Failed(1, "")
        self.passed.parent.mkdir(exist_ok=True)
        self.passed.write_text("ok")
        self.move(self.inferred(), "validator passed")

    def make_plan(self) -> None:
        self.validate()
        write(self.plan, {"nodes": len(json.loads(self.curriculum.read_text())["nodes"])})

    def iterate(self) -> None:
        self.make_plan()
        before = json.loads(self.previous.read_text()) if self.previous.exists() else {"nodes": []}
        write(self.diff, {"changed": before != json.loads(self.curriculum.read_text())})
        self.move(self.inferred(), "diff generated")


def ask_agent() -> object:
    """Ask the agent CLI for a curriculum; why it gave none is not told, as in the real one."""
    words = shlex.split(os.environ.get("CODING_AGENT_CMD", "codex"))
    if not words:
        raise Failed(7, "[config_error] CODING_AGENT_CMD is empty; set it to an agent CLI.")
    for _ in range(1 + int(os.environ.get("AGENT_RETRY_BUDGET", "1"))):
        with tempfile.TemporaryDirectory() as folder:
            answer = Path(folder) / "answer.json"
            limit = float(os.environ.get("AGENT_TIMEOUT_SECONDS", "300"))
            try:
                done = subprocess.run([*words, "exec", str(answer)], timeout=limit, capture_output=True, text=True, check=False)
            except subprocess.TimeoutExpired:
                continue
            if "model is not supported" in done.stderr:
                raise Failed(7, "[config_error] AGENT_MODEL is incompatible with ChatGPT-authenticated codex_exec.")
            try:
                return json.loads(answer.read_text())
            except (OSError, ValueError):
                continue
    raise Failed(10, "[internal_error] codex_exec mode failed to return valid structured JSON.")


AGENT = """#!/bin/sh
# Called with: exec FILE. What it does is in the file `mood` beside it.
mood=$(cat "$(dirname "$0")/mood")
[ -z "$AGENT_MODEL" ] || { echo "The '$AGENT_MODEL' model is not supported when using Codex with a ChatGPT account." >&2; exit 1; }
case "$mood" in
  slow) sleep 0.8 ;;
  garbled) echo '{"nodes": [' > "$2"; exit 0 ;;
  silent) exit 0 ;;
  logged-out) echo "exceeded retry limit, last status: 401 Unauthorized" >&2; exit 1 ;;
esac
echo '{"nodes": [{"id": "N1", "prerequisites": []}]}' > "$2"
"""


def install_agent(folder: Path, mood: str) -> None:
    """Put the agent CLI into a folder, as `codex`; `slow`, `garbled`, `silent`, `logged-out` or `well`."""
    folder.mkdir(exist_ok=True)
    (folder / "mood").write_text(mood)
    (folder / "codex").write_text(AGENT)
    (folder / "codex").chmod(0o755)


def write(file: Path, value: object) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(value))


def init(name: str) -> None:
    root = BASE / f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{name}"
    write(root / "inputs/topic_spec.json", TEMPLATE)
    (root / "inputs/scope.md").write_text("# Scope\n")
    entry = {"at_utc": "2026-11-20T12:00:00Z", "stage": ORDER[0], "message": "run initialized", "metadata": {}}
    write(root / "run.json", {"run_id": root.name, "created_at_utc": "2026-11-20T12:00:00Z", "stage": ORDER[0], "history": [entry]})
    print(f"Initialized orchestration run.\nRun directory: {root}")


def main(verb: str, name: str, *rest: str) -> int:
    if verb == "init":
        init(name)
        return 0
    run = Run(name)
    if verb == "status":
        print(f"Stage: {run.meta['stage']}")
    elif verb == "archive":
        with tarfile.open(BASE / f"{name}.tar.gz", "w:gz") as tar:
            tar.add(run.root, name)
    elif verb == "run":
        if rest[:1] == ("--scope-file",):
            shutil.copy(rest[1], run.root / "inputs/scope.md")
            write(run.spec, SPEC)
        run.generate()
        run.iterate()
    else:
        {"validate": run.validate, "plan": run.make_plan, "iterate": run.iterate}[verb]()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except Failed as error:
        if str(error):
            print(error, file=sys.stderr)
        sys.exit(error.exit_code)

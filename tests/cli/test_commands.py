"""What each command prints, on a store that Smithers wrote: tables for people, exact JSON for programs."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smithers_nb import connect
from smithers_nb.cli.output import record, short_ids
from smithers_nb.redact import redact_value

FINISHED_BY_AGENT = "pr-review-021"
FAILED = "order-sync-013"
WAITING = "release-gate-035"
FINISHED = "order-sync-004"


def test_ps_lists_the_newest_runs(cli, example: Path) -> None:
    """`ps` shows twenty runs and says on standard error how many more there are."""
    answer = cli("ps", "--source", example)
    assert answer.code == 0
    assert len(answer.out.splitlines()) == 21
    newest = max(connect(example).run_rows(), key=lambda row: row.created_at)
    assert datetime.fromtimestamp(newest.started_at // 1000, UTC).strftime("%Y-%m-%d %H:%M:%S") in answer.out.splitlines()[1]
    assert "40 older runs" in answer.err


def test_ps_prints_what_the_library_returns(cli, example: Path) -> None:
    """The JSON of `ps` is the rows of `Project.run_rows`."""
    answer = cli("ps", "--all", "--source", example, "--format", "json", "--now", 1_795_200_000_000)
    rows = connect(example, now=1_795_200_000_000).run_rows()
    assert answer.json == redact_value([record(row) for row in rows])


def test_ps_filters_by_status_and_state(cli, example: Path) -> None:
    """`--status` may be given several times and knows statuses and states."""
    answer = cli("ps", "-s", example, "--status", "failed", "--status", "succeeded", "--all", "-f", "jsonl")
    assert {row["state"] for row in answer.lines} == {"failed", "succeeded"}


def test_ps_judges_at_the_given_time(cli, example: Path) -> None:
    """`--now` in ISO and in epoch milliseconds is the same moment, and moves the derived state."""
    early = [
        cli("ps", "-s", example, "-f", "json", "--all", "--now", now).json
        for now in ("2026-11-20T13:28:20Z", "2026-11-20T13:28:20", 1795181300000)
    ]
    assert early[0] == early[1] == early[2]
    late = cli("ps", "-s", example, "-f", "json", "--all", "--now", "2026-11-21").json
    states = {row["runId"]: row["state"] for row in early[0]}
    assert {states[row["runId"]] for row in late if row["status"] == "running"} & {"running"}
    assert "running" not in {row["state"] for row in late}


def test_only_a_filter_takes_a_time_back_from_now(cli, example: Path) -> None:
    """`--since 15m` is a time, `--now 15m` is none; each says which spellings it takes."""
    assert cli("events", FAILED, "-s", example, "--since", "15m", "-f", "jsonl").code == 0
    refused, misspelt = cli("ps", "-s", example, "--now", "15m"), cli("events", FAILED, "-s", example, "--since", "soon")
    assert (refused.code, misspelt.code) == (4, 4)
    assert "back from now" not in refused.err
    assert "15m, 2h, 1d" in misspelt.err


def test_ps_of_nothing_says_so(cli, example: Path) -> None:
    """A filter that fits nothing gives an empty list, and one line on standard error for people."""
    assert cli("ps", "-s", example, "--status", "nope", "-f", "json").json == []
    answer = cli("ps", "-s", example, "--status", "nope")
    assert (answer.out, answer.code) == ("", 0)
    assert "no such runs" in answer.err


def test_why_of_a_failed_run(cli, example: Path) -> None:
    """`why` names node, attempts, class and one suggestion with a command that runs, and previews what it resets."""
    answer = cli("why", FAILED, "-s", example)
    assert answer.code == 0
    for part in (
        "normalize",
        "workflow-bug",
        "edit-workflow-and-reset",
        "bunx smithers-orchestrator retry-task",
        f"--run-id {FAILED}",
        "resets",
    ):
        assert part in answer.out


def test_why_in_json_is_one_document(cli, example: Path) -> None:
    """The JSON has the explanation's fields in camelCase."""
    why = cli("why", FAILED, "-s", example, "-f", "json").json
    assert why["failure"]["nodeId"] == "normalize"
    assert why["resetPreview"]["nodes"][0]["nodeId"] == "normalize"
    assert why["classification"]["failureClass"] == "workflow-bug"


def test_why_of_a_waiting_run(cli, example: Path) -> None:
    """`why` of a gate prints the commands that approve and deny it."""
    answer = cli("why", WAITING, "-s", example)
    assert "approve-release" in answer.out
    assert f"bunx smithers-orchestrator approve {WAITING}" in answer.out
    assert f"bunx smithers-orchestrator deny {WAITING}" in answer.out


def test_why_of_a_finished_run(cli, example: Path) -> None:
    """`why` of a finished run says that it finished."""
    answer = cli("why", FINISHED, "-s", example)
    assert answer.code == 0
    assert "finished" in answer.out


def test_inspect(cli, example: Path) -> None:
    """`inspect` shows nodes with states and attempts."""
    answer = cli("inspect", FAILED, "-s", example)
    assert "normalize" in answer.out
    assert "fetch-orders" in answer.out
    found = cli("inspect", FAILED, "-s", example, "-f", "json").json
    assert {node["nodeId"]: node["state"] for node in found["nodes"]}["normalize"] == "failed"
    assert found["run"]["error"]["code"] == "SESSION_ERROR"
    rows = {"run", "nodes", "attempts", "tokens", "approvals", "questions", "children", "defects", "problems"}
    assert set(found) == {*rows, "autopsies", "autopsyOf"}


def test_inspect_shows_gates(cli, example: Path) -> None:
    """`inspect` of a denied gate shows who denied it and the note."""
    answer = cli("inspect", "release-gate-043", "-s", example)
    assert "denied" in answer.out
    assert "not this week" in answer.out


def test_events_are_in_order_and_whole(cli, example: Path) -> None:
    """`events --raw --format jsonl` prints every row of the log, in order, payload nested."""
    events = cli("events", FAILED, "-s", example, "--raw", "-f", "jsonl").lines
    frame = connect(example).run(FAILED).events
    assert [event["seq"] for event in events] == frame["seq"].tolist()
    assert events[0]["payload"]["type"] == "RunStarted"


def test_events_leave_noise_out(cli, example: Path) -> None:
    """Without --raw, render frames and snapshots are left out, unless --type asks for them."""
    quiet = {event["type"] for event in cli("events", FAILED, "-s", example, "-f", "jsonl").lines}
    assert "FrameCommitted" not in quiet
    assert "NodeFailed" in quiet
    asked = {event["type"] for event in cli("events", FAILED, "-s", example, "--type", "FrameCommitted", "-f", "jsonl").lines}
    assert asked == {"FrameCommitted"}


def test_events_can_be_filtered(cli, example: Path) -> None:
    """Type, category, node and time narrow the log down."""
    of_run = cli("events", FAILED, "-s", example, "--type", "run", "--type", "NodeFailed", "-f", "jsonl").lines
    assert {event["type"] for event in of_run} == {"RunStarted", "RunFailed", "NodeFailed"}
    of_node = cli("events", FAILED, "-s", example, "--node", "normalize", "-f", "jsonl").lines
    assert {event["nodeId"] for event in of_node} == {"normalize"}
    whole = cli("events", FAILED, "-s", example, "-f", "jsonl").lines
    since = whole[len(whole) // 2]["at"]
    late = cli("events", FAILED, "-s", example, "--since", since, "-f", "jsonl").lines
    assert late == [event for event in whole if event["at"] >= since] != whole


def test_events_as_lines(cli, example: Path) -> None:
    """The table has one line per event, and the error of a failure on it."""
    out = cli("events", FAILED, "-s", example).out
    failed = next(line for line in out.splitlines() if "NodeFailed" in line)
    assert "null is not an object" in failed
    (event,) = cli("events", FAILED, "-s", example, "--type", "NodeFailed", "-f", "jsonl").lines
    moment = datetime.fromtimestamp(event["at"] // 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    assert failed.split()[:3] == [str(event["seq"]), *f"{moment}.{event['at'] % 1000:03}".split()]


def test_node(cli, example: Path) -> None:
    """`node` shows attempts with their errors, and the output."""
    assert "null is not an object" in cli("node", FAILED, "normalize", "-s", example).out
    whole = cli("node", FINISHED, "normalize", "-s", example, "-f", "json").json
    assert whole["attempts"][0]["state"] == "finished"
    assert whole["outputs"][0]["row"]


def test_output(cli, example: Path) -> None:
    """`output` prints the rows of all nodes or one, JSON nested."""
    everything = cli("output", FINISHED, "-s", example, "-f", "json").json
    one = cli("output", FINISHED, "normalize", "-s", example, "-f", "json").json
    assert one == [row for row in everything if row["nodeId"] == "normalize"]
    assert isinstance(one[0]["row"], dict)
    assert "normalize" in cli("output", FINISHED, "-s", example).out


@pytest.mark.parametrize("command", ["diff", "scores"])
def test_nothing_recorded_is_said(cli, example: Path, command: str) -> None:
    """A run without diffs or scores gives an empty list, and a line for people."""
    assert cli(command, FINISHED, "-s", example, "-f", "json").json == []
    answer = cli(command, FINISHED, "-s", example)
    assert (answer.code, answer.out) == (0, "")
    assert answer.err.strip()


def test_a_whole_store_is_listed_by_kind(cli, example: Path) -> None:
    """The table of a store has one row per signature with the runs it hit; `--by` chooses, also for JSON."""
    attempts = cli("failures", "-s", example, "-f", "jsonl").lines
    kinds = cli("failures", "-s", example, "--by", "signature", "-f", "jsonl").lines
    assert {kind["signature"]: kind["count"] for kind in kinds} == Counter(row["signature"] for row in attempts)
    assert len(cli("failures", "-s", example).out.splitlines()) == len(kinds) + 1 < len(attempts)
    assert len(cli("failures", "-s", example, "--by", "attempt").out.splitlines()) == len(attempts) + 1


def test_runs_with_the_same_cause_are_counted(cli, example: Path) -> None:
    """`ps` says of a failed run how many others failed on the same, also when it does not list them."""
    line = next(line for line in cli("ps", "-s", example, "--all").out.splitlines() if line.startswith("order-sync-013"))
    assert "2 others" in line
    assert "2 others" in cli("ps", "-s", example, "-l", "8").out.splitlines()[-1]


def test_nodes_in_the_order_of_execution(cli, example: Path) -> None:
    """`inspect` lists nodes as they started, with how long they took, who did them and the tokens; then the next step."""
    page = cli("inspect", "pr-review-026", "-s", example).out
    assert page.index("load-review-diff") < page.index("attempt 2")
    assert page.splitlines()[-1] == f"  smithers-nb why pr-review-026 --source {example}"
    assert "reviewer gpt-5.6-luna  443 tokens" in cli("inspect", FINISHED_BY_AGENT, "-s", example).out


def test_verdicts_of_all_without_notebooks(cli, example: Path, tmp_path, monkeypatch) -> None:
    """`autopsy --all-failed --no-notebook` gives a verdict for each failed run and writes nothing."""
    monkeypatch.chdir(tmp_path)
    rows = cli("autopsy", "--all-failed", "--no-notebook", "-s", example, "-f", "jsonl").lines
    failed = cli("ps", "--all", "-S", "failed", "-s", example, "-f", "jsonl").lines
    assert {row["targetRunId"] for row in rows} == {row["runId"] for row in failed}
    assert list(tmp_path.iterdir()) == []
    assert cli("autopsy", "--all-failed", "--no-notebook", "--workers", "2", "-s", example).code == 4


@pytest.mark.parametrize(
    ("command", "state", "named"), [("why", None, "backfill-060"), ("autopsy --no-notebook", "failed", "order-sync-010")]
)
def test_the_newest_problem_is_taken(cli, example: Path, command: str, state: str | None, named: str) -> None:
    """Without RUN a command takes the newest run that has a problem, for an autopsy the newest that failed, and names it."""
    answer = cli(*command.split(), "-s", example)
    assert (answer.code, named in answer.out, named in answer.err) == (0, True, True)
    listed = cli("ps", "--all", "-s", example, "-f", "jsonl", *(("-S", state) if state else ())).lines
    assert listed[0]["runId"] == named


def test_a_report_without_run_is_of_the_newest_run_where_none_has_a_problem(cli, store, tmp_path: Path) -> None:
    """Every state has a report, so a healthy store gets one of its newest run, which is named."""
    source = store("ad-copy")
    newest = cli("ps", "-s", source, "-f", "jsonl").lines[0]["runId"]
    answer = cli("report", "-s", source, "--artifacts", tmp_path)
    assert (answer.code, Path(answer.out.strip()).is_file()) == (0, True)
    assert answer.err == f"no run has a problem; the newest run is {newest}\n"


def test_why_without_run_says_that_no_run_has_a_problem(cli, store) -> None:
    """A healthy store is an answer and no error: `why` says so, explains the newest run, and exits with 0 in every format."""
    source = store("ad-copy")
    newest = cli("ps", "-s", source, "-f", "jsonl").lines[0]["runId"]
    answers = [cli("why", "-s", source, "-f", fmt) for fmt in ("table", "json", "markdown")]
    assert [(answer.code, answer.err) for answer in answers] == [(0, f"no run has a problem; the newest run is {newest}\n")] * 3
    assert answers[1].json["runId"] == newest
    assert all(newest in answer.out for answer in answers)


def test_a_failure_without_a_time_has_no_time_on_its_page(cli, tmp_path: Path) -> None:
    """An executed notebook does not record when its cell failed, so the page names no time."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 / 0", execution_count=1)])
    error = nbformat.v4.new_output("error", ename="ZeroDivisionError", evalue="division by zero", traceback=["ZeroDivisionError"])
    notebook.cells[0].outputs = [error]
    nbformat.write(notebook, tmp_path / "out.ipynb")
    lines = cli("why", "-s", tmp_path / "out.ipynb").out.splitlines()
    assert next(line for line in lines if line.startswith("Attempts")).split(maxsplit=1)[1] == "1 of 1"


def test_failures_of_a_run_and_of_the_store(cli, example: Path) -> None:
    """`failures` has class and signature of every failed attempt; equal failures have equal signatures."""
    rows = cli("failures", "-s", example, "-f", "jsonl").lines
    assert {row["runId"] for row in cli("failures", FAILED, "-s", example, "-f", "jsonl").lines} == {FAILED}
    same = {row["signature"] for row in rows if row["runId"] in {"order-sync-013", "order-sync-014", "order-sync-015"}}
    assert len(same) == 1
    assert {row["runId"] for row in cli("failures", "-s", example, "--signature", *same, "-f", "jsonl").lines} == {
        f"order-sync-0{n}" for n in (13, 14, 15)
    }
    assert {row["failureClass"] for row in cli("failures", "-s", example, "--class", "environment", "-f", "jsonl").lines} == {"environment"}


def test_autopsy_row_alone(cli, example: Path, tmp_path: Path, monkeypatch) -> None:
    """`autopsy --no-notebook` prints the verdict row and writes nothing."""
    monkeypatch.chdir(tmp_path)
    row = cli("autopsy", FAILED, "-s", example, "--no-notebook", "-f", "json", "--now", 1_800_000_000_000).json
    assert row["failureClass"] == "workflow-bug"
    assert row["suggestion"] == "edit-workflow-and-reset"
    assert {"targetRunId", "confidence", "rootCause", "suggestionDetail", "commands", "bugFiled", "bugUrl", "summary"} <= set(row)
    assert list(tmp_path.iterdir()) == []
    text = cli("autopsy", FAILED, "-s", example, "--no-notebook").out
    assert "Root cause" in text
    assert "bunx smithers-orchestrator" in text


def test_short_ids_are_unique_beginnings() -> None:
    """Shortened ids identify their run; one that would hardly get shorter stays whole."""
    ids = [
        "e287a54f-4a0e-4c37-ba14-85290284eadb",
        "e287a54f-4a0e-4c37-ba14-85290284eadb:child:x:0",
        "22f44bfc-4adc-476e-a40a-b279850c9ab2",
        "run-1",
        "run-12",
    ]
    short = short_ids(ids)
    assert short["22f44bfc-4adc-476e-a40a-b279850c9ab2"] == "22f44bfc"
    assert short["run-1"] == "run-1"
    assert short[ids[0]] == "e287a54f"
    assert ids[1] not in short


def test_short_ids_do_not_end_in_the_middle_of_a_word() -> None:
    """An id made of words is cut between two of them; one without words, such as a hash, is cut anywhere."""
    short = short_ids(["cc-network-retry-after-error", "cc-network-timeout", "orders_returns_lock-17", "0123456789abcdef0123456789abcdef"])
    assert list(short.values()) == ["01234567", "cc-network-retry", "cc-network-timeout", "orders_returns"]


@given(st.sets(st.text("abc", min_size=20, max_size=24), min_size=1), st.integers(1, 8))
def test_short_ids_name_one_run_each(ids: set[str], least: int) -> None:
    """However alike ids are, what is shown of one is at least so long, and whole or the beginning of no other."""
    for run_id, shown in short_ids(ids, least).items():
        assert len(shown) >= least
        assert shown == run_id or [other for other in ids if other.startswith(shown)] == [run_id]

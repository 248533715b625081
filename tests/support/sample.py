"""A small invented run and the notebook that tells it, once harmless and once with an attack in every field."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from nbformat import NotebookNode, v4

from smithers_nb.model.rows import ApprovalRow, AttemptRow, EventRow, QuestionRow
from smithers_nb.model.verdict import Change, Evidence, LastGoodRun, Recurrence, Verdict
from smithers_nb.present.html import cards
from smithers_nb.present.timeline.plotly_figure import timeline_figure

T0 = 1_795_179_000_000
HOSTILE = "<script>window.pwned=1</script>\x1b[31m' \" $(id) ../../x \u202e\x00 <img src=x onerror=window.pwned=1>"
EVIL_HTML = (
    '<b onclick="window.pwned=1">x</b><img src=x onerror="window.pwned=1"><svg onload="window.pwned=1"><script>window.pwned=1</script>'
    "</svg><script>window.pwned=1</script><style>*{display:none}</style><iframe srcdoc='<script>parent.pwned=1</script>'></iframe>"
    '<a href="javascript:window.pwned=1" id="snb-main">click</a><form action="http://x.invalid"><input></form>'
    '<base href="http://x.invalid"><div style="position:fixed" class="evil snb-note" title="<h1 >a">s</div>'
    '<img src="http://x.invalid/p.png"><link rel=stylesheet href="http://x.invalid/c">'
)


def attempt(  # noqa: PLR0913, PLR0917  # as short as a row
    node: str, number: int, state: str, start: float, end: float | None, error: str | None = None, iteration: int = 0
) -> AttemptRow:
    """One attempt, times in seconds after the start of the run."""
    blank: dict[str, Any] = dict.fromkeys(AttemptRow._fields)
    times = {"started_at": T0 + round(start * 1000), "finished_at": None if end is None else T0 + round(end * 1000)}
    took = None if end is None else end - start
    named = {"run_id": "deploy-42", "node_id": node, "iteration": iteration, "attempt": number, "state": state}
    return AttemptRow(**{**blank, **named, **times, "duration_s": took, "error_message": error})


ATTEMPTS = [
    attempt("plan", 1, "finished", 0, 42),
    attempt("implement", 1, "failed", 43, 130, "429 Too Many Requests"),
    attempt("implement", 2, "failed", 160, 220, "ENOENT: no such file or directory"),
    attempt("implement", 3, "failed", 290, 350, "ENOENT: no such file or directory"),
    attempt("review", 1, "failed", 352, 360, "Task failed: implement"),
    attempt("loop", 1, "finished", 60, 80, iteration=1),
]
APPROVALS = [
    ApprovalRow(
        "deploy-42",
        "go",
        0,
        "approved",
        "Go ahead?",
        "3 files",
        T0 + 62_000,
        T0 + 118_000,
        "maria",
        "fine",
        False,
        False,
        "decision",
        False,
    ),
    ApprovalRow("deploy-42", "publish", 0, "requested", "Publish?", None, T0 + 300_000, None, None, None, False, True, "gate", False),
]
QUESTIONS = [
    QuestionRow(
        "human:deploy-42:ask:0",
        "deploy-42",
        "ask",
        0,
        "select",
        "answered",
        "Which region?",
        None,
        None,
        '"eu"',
        T0 + 20_000,
        T0 + 40_000,
        "maria",
        None,
    )
]
EVENTS = [
    EventRow("deploy-42", 0, T0, "RunStarted", "run", None, None, None, "{}"),
    EventRow("deploy-42", 9, T0 + 250_000, "RunAutoResumed", "supervisor", None, None, None, "{}"),
    EventRow("deploy-42", 10, T0 + 260_000, "TaskHeartbeat", "heartbeat", None, None, None, "{}"),
    EventRow("deploy-42", 19, T0 + 360_500, "RunFailed", "run", None, None, None, "{}"),
]
VERDICT = Verdict(
    target_run_id="deploy-42",
    failure_class="environment",
    confidence="high",
    root_cause="The task implement reads /app/cfg.json, which does not exist.",
    suggestion="fix-environment",
    suggestion_detail="Create /app/cfg.json, then retry the task.",
    commands=("bunx smithers-orchestrator retry-task deploy-42 --node implement",),
    summary="A file is missing.",
    evidence=(Evidence(ref="attempt:implement/0/3", quote="ENOENT", note="last attempt"), Evidence(ref="event:19", quote="RunFailed")),
    signature="a1b2c3d4e5f6",
    rule="enoent",
    recurrence=Recurrence(count=7, runs=4, run_ids=("deploy-42",), first_at=T0, last_at=T0, wall_s=4210, tokens=120_345),
    last_good_run=LastGoodRun(run_id="deploy-38"),
    changed_since=(Change(what="input.region", before=None, after="eu"),),
)
PATCH = "--- a/wf.tsx\n+++ b/wf.tsx\n@@ -1 +1 @@\n-old\n+new\n+more\n"


def shown(thing: Any) -> NotebookNode:
    """The output that Jupyter keeps of a displayed object."""
    return v4.new_output("display_data", data=thing._repr_mimebundle_())


def notebook(cells: list[NotebookNode]) -> NotebookNode:
    """A notebook with ids that do not change from call to call."""
    for position, cell in enumerate(cells):
        cell["id"] = f"cell-{position}"
    return v4.new_notebook(cells=cells, metadata={"language_info": {"name": "python", "version": "3.11.7"}})


def harmless() -> NotebookNode:
    """Every card once."""
    chart = timeline_figure(ATTEMPTS, EVENTS, APPROVALS, QUESTIONS, collateral=("review",))
    code = v4.new_code_cell
    return notebook(
        [
            v4.new_markdown_cell("# Autopsy of deploy-42\n\nWhy it *failed*."),
            code("target_run_id: str = 'deploy-42'", metadata={"tags": ["parameters"]}),
            v4.new_markdown_cell("## What happened"),
            code(
                "a", outputs=[shown(cards.banner("Run deploy-42 failed", "A file is missing.", facts={"Node": "implement"})), shown(chart)]
            ),
            code("b", outputs=[shown(cards.approvals_table(APPROVALS)), shown(cards.questions_table(QUESTIONS))]),
            v4.new_markdown_cell("## Evidence\n\n### In detail"),
            code(
                "c",
                outputs=[
                    shown(cards.evidence_list(VERDICT.evidence)),
                    shown(cards.details("Raw error", "{}")),
                    shown(cards.diff(PATCH, path="wf.tsx")),
                ],
            ),
            code(
                "d",
                outputs=[
                    shown(cards.changes_table(VERDICT.changed_since, VERDICT.last_good_run)),
                    shown(cards.recurrence_table(VERDICT.recurrence)),
                ],
            ),
            code(
                "e",
                outputs=[
                    shown(cards.gate_card("Report a bug?", "Engine code.", ("It is sent.",))),
                    shown(cards.problems_list([("t", "missing")])),
                ],
            ),
            v4.new_markdown_cell("## Verdict"),
            code("f", outputs=[shown(cards.verdict_card(VERDICT)), v4.new_output("stream", name="stderr", text="\x1b[33mwarn\x1b[0m\n")]),
        ]
    )


def hostile() -> NotebookNode:
    """An attack in every field, and a cell that stopped."""
    text = dict.fromkeys(("target_run_id", "root_cause", "suggestion_detail", "summary", "signature", "rule", "bug_url"), HOSTILE)
    evidence = (Evidence(ref=HOSTILE, quote=HOSTILE, note=HOSTILE),)
    verdict = replace(VERDICT, **text, commands=(HOSTILE,), evidence=evidence)
    rows = [row._replace(node_id=HOSTILE, error_message=HOSTILE, state=HOSTILE) for row in ATTEMPTS]
    gates = [row._replace(node_id=HOSTILE, title=HOSTILE, summary=HOSTILE, note=HOSTILE, decided_by=HOSTILE) for row in APPROVALS]
    asked = [row._replace(node_id=HOSTILE, prompt=HOSTILE, answer=HOSTILE, answered_by=HOSTILE, status=HOSTILE) for row in QUESTIONS]
    figure = {
        "data": [{"type": "bar", "x": [1], "y": [2], "name": "</script><script>window.pwned=1</script>"}],
        "layout": {"title": {"text": HOSTILE}, "images": [{"source": "http://x.invalid/a.png"}]},
    }
    svg = "<svg xmlns='http://www.w3.org/2000/svg'><script>parent.pwned=1</script><circle r='5' cx='5' cy='5'/></svg>"
    outputs = [
        *map(
            shown,
            (
                cards.verdict_card(verdict),
                timeline_figure(rows, EVENTS, gates, asked),
                cards.timeline_table(rows),
                cards.approvals_table(gates),
            ),
        ),
        *map(
            shown,
            (cards.questions_table(asked), cards.banner(HOSTILE, HOSTILE, facts={HOSTILE: HOSTILE}, hint=HOSTILE), cards.note(HOSTILE)),
        ),
        *map(shown, (cards.details(HOSTILE, HOSTILE), cards.evidence_list(evidence), cards.gate_card(HOSTILE, HOSTILE, (HOSTILE,)))),
        *map(
            shown,
            (
                cards.diff("+" + HOSTILE, path=HOSTILE),
                cards.changes_table((Change(what=HOSTILE, before=HOSTILE),)),
                cards.empty("no-match", HOSTILE),
            ),
        ),
        *map(shown, (cards.problems_list([(HOSTILE, HOSTILE)]), cards.command_sheet([(HOSTILE, HOSTILE)], title=HOSTILE))),
        *(
            v4.new_output("display_data", data=data)
            for data in ({"text/html": EVIL_HTML}, {"image/svg+xml": svg}, {"application/vnd.plotly.v1+json": figure})
        ),
        v4.new_output("stream", name="stdout", text=EVIL_HTML + HOSTILE),
        v4.new_output("error", ename=EVIL_HTML, evalue=HOSTILE, traceback=["\x1b[31m" + EVIL_HTML + "\x1b[0m"]),
    ]
    words = (
        f"# {HOSTILE}\n\n## {EVIL_HTML}\n\n{EVIL_HTML}\n\n[x](javascript:alert(1)) ![x](http://x.invalid/x.png)\n\n```\n{EVIL_HTML}\n```"
    )
    return notebook(
        [v4.new_markdown_cell(words), v4.new_code_cell(HOSTILE + "\n</script></pre>", outputs=outputs), v4.new_code_cell("later()")]
    )

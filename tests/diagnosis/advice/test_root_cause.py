"""The root cause names the task and quotes the error in its own words."""

from __future__ import annotations

from smithers_nb.diagnosis.advice.root_cause import root_cause, summary
from smithers_nb.diagnosis.classify.classify import classify
from smithers_nb.model.verdict import Classification, Defect, Failure, Link, Observation

FOUND = Classification(
    failure_class="environment", confidence="high", rule="r", reason="nothing listens there", suggestion="fix-environment"
)


def failure(*links: Link, **fields: object) -> Failure:
    """A failure of the task `load` with these errors."""
    return Failure(**{"run_id": "r1", "node_id": "load", "kind": "attempt", "chain": links, "attempts": 1, **fields})


def test_it_names_task_error_and_reason():
    """Node id, the message as it stands, and the rule's reason are all there."""
    text = root_cause(failure(Link(name="Error", message="connect ECONNREFUSED 10.0.0.1:5432")), FOUND)
    assert text == "Task load failed: connect ECONNREFUSED 10.0.0.1:5432. Nothing listens there."


def test_persistence_is_told():
    """The same signature on every attempt reads differently from different errors."""
    same = failure(Link(message="boom"), attempts=3, signatures=("a", "a", "a"))
    other = failure(Link(message="boom"), attempts=3, signatures=("a", "b", "c"))
    assert "failed 3 times, each time in the same way: boom" in root_cause(same, FOUND)
    assert "failed 3 times: boom" in root_cause(other, FOUND)


def test_the_innermost_cause_is_told_when_it_adds_something():
    """A cause with words of its own follows the outer error; one that repeats them does not."""
    outer = Link(code="AGENT_CLI_ERROR", message="the agent failed")
    assert "caused by ENOSPC: no space left" in root_cause(failure(outer, Link(code="ENOSPC", message="no space left")), FOUND)
    assert "caused by" not in root_cause(failure(outer, Link(message="agent failed")), FOUND)


def test_details_that_the_message_lacks_are_added():
    """Status, host, path and exit code are told unless the message has them; addresses come without user and password."""
    details = {"statusCode": 503, "url": "https://me:secret@api.example.com/v1?key=1", "path": "/data/in.csv", "exitCode": 0}
    text = root_cause(failure(Link(message="cannot open /data/in.csv"), details=details), FOUND)
    assert "HTTP status 503" in text
    assert "service api.example.com" in text.lower()
    assert "secret" not in text
    assert text.count("/data/in.csv") == 1


def test_details_that_say_nothing_more_are_left_out():
    """A local address beside an HTTP status, a service whose URL is told, and a page that repeats the message are noise."""
    local = {"statusCode": 502, "url": "http://127.0.0.1:4000/v1", "responseBody": "<html><title>502 Bad Gateway</title></html>"}
    assert root_cause(failure(Link(message="Bad Gateway"), details=local), FOUND) == (
        "Task load failed: Bad Gateway. HTTP status 502. Nothing listens there."
    )
    url = {"path": "http://u:p@10.0.0.9:4899/a", "url": "http://10.0.0.9:4899/a"}
    assert "URL http://10.0.0.9:4899/a. " in root_cause(failure(Link(message="Unable to connect"), details=url), FOUND)
    assert "10.0.0.9" in root_cause(failure(Link(message="x"), details={"url": "http://10.0.0.9:4899/a"}), FOUND)


def test_a_number_in_the_message_is_not_the_exit_code():
    """The 2 of `checked 2 files` does not hide the exit code 2; a message that has it is not repeated."""
    assert "Exit code 2" in root_cause(failure(Link(message="checked 2 files"), details={"exitCode": 2}), FOUND)
    assert "Exit code" not in root_cause(failure(Link(message="ended with exit status 2"), details={"exitCode": 2}), FOUND)


def test_an_error_of_the_engine_names_the_node_of_its_key():
    """An error of the run itself that carries a node's key says which node it happened over."""
    lost = failure(Link(message="no journal token"), node_id=None, kind="run", details={"key": "send::giro::2"})
    assert "while the engine was at send::giro in iteration 2: no journal token" in root_cause(lost, FOUND)


def test_the_agents_own_words_are_told_once():
    """Words found in the agent's events are quoted with what the engine kept instead."""
    told = failure(Link(message="Credit balance is too low"), Link(message="Claude run failed"), kind="agent-event")
    defect = Defect(kind="error-only-in-agent-events", summary="load is recorded with x; what the agent said is: Credit balance is too low")
    text = root_cause(told, FOUND, [defect])
    assert text.count("Credit balance is too low") == 1
    assert "the engine recorded only “Claude run failed”" in text


def test_an_answer_that_could_not_be_used_comes_first():
    """What the agent answered stands before the engine's words, which lose their advice to the author of the workflow."""
    refused = 'Task "load" returned plain text, but must be JSON. Plain text cannot be passed through deps directly. Use z.object().'
    broken = Link(name="SyntaxError", message="JSON Parse error: Unterminated string")
    asked = failure(Link(code="INVALID_OUTPUT", message=refused), broken, details={"answer": '{"total": 4'})
    assert root_cause(asked, FOUND).startswith(
        'Task load failed: its agent answered “{"total": 4”, which could not be used: INVALID_OUTPUT: Task "load" returned plain text, '
        "but must be JSON; caused by SyntaxError: JSON Parse error: Unterminated string."
    )


def test_what_a_child_process_printed_is_quoted():
    """The line of an error stream that tells most is quoted; an answer in JSON by its message."""
    printed = {"stderr": "loading\nImportError: no module named x\ngoodbye"}
    assert "It printed: ImportError: no module named x." in root_cause(failure(Link(message="exit 1"), details=printed), FOUND)
    answered = {"responseBody": '{"error": {"message": "no such model"}}'}
    assert "The server answered: no such model." in root_cause(failure(Link(message="404"), details=answered), FOUND)


def test_the_place_that_threw_is_named():
    """The author's own line is named, not the engine's."""
    engine = "/srv/app/node_modules/@smithers-orchestrator/engine/src/engine.js"
    stack = f"TypeError: x\n    at run ({engine}:10:1)\n    at total (/srv/app/wf.tsx:16:3)"
    assert "Thrown at wf.tsx:16." in root_cause(failure(Link(name="TypeError", message="x is undefined", stack=stack)), FOUND)


def test_a_denial_is_a_decision():
    """Who said no, to what, and with which words; no fault is looked for."""
    denied = failure(kind="denied", details={"decidedBy": "ada", "note": "too expensive", "title": "Pay?"}, node_id="pay")
    text = root_cause(denied, FOUND)
    assert text == "Approval pay (Pay?) was denied by ada with the note: too expensive. That is a decision, not a fault."


def test_a_child_run_and_the_loop_iteration_are_named():
    """A failure that was followed into a child run says which run and which round."""
    text = root_cause(failure(Link(message="boom"), run_id="r1:child:x:0", parents=("r1",), iteration=4), FOUND)
    assert text.startswith("Task load in iteration 4 of child run r1:child:x:0 failed: boom.")


def test_collateral_and_misrecording_are_told():
    """Other failing tasks are set apart, and a record that misleads is said to."""
    masked = Defect(kind="failure-recorded-as-cancellation", summary="load failed, but is recorded as cancelled")
    dull = Defect(kind="gate-of-ended-run", summary="a gate is still open")
    text = root_cause(failure(Link(message="boom"), collateral=("a", "b", "c", "d", "e")), FOUND, [masked, dull])
    assert "Also failed: a, b, c, d and 1 more." in text
    assert text.endswith("Task load failed, but is recorded as cancelled.")


def test_a_look_at_this_machine_counts_only_where_the_run_was():
    """What is seen on another machine than the run's is not part of the cause."""
    seen = [
        Observation(about="path", subject="x", text=f"now, on this machine: {word}", confirms=True, meaningful=here)
        for word, here in (("A", True), ("B", False))
    ]
    text = root_cause(failure(Link(message="boom")), FOUND, (), seen)
    assert text.endswith("now, on this machine: A.")


def test_nothing_recorded_is_said():
    """A run without any error gets an honest sentence, not an empty one."""
    text = root_cause(failure(kind="none"), FOUND)
    assert text.startswith("Run r1 failed, but the store holds no error that says why. Task load is marked failed.")


def test_long_messages_are_cut_to_one_line():
    """A megabyte with line breaks becomes one short line."""
    text = root_cause(failure(Link(message="a\n\x1b[31mb\x1b[0m " * 300_000)), FOUND)
    assert "a b a b" in text
    assert len(text) < 500
    assert "\n" not in text


def test_the_summary_is_one_line():
    """Class, confidence, suggestion and the error fit in one line."""
    line = summary(FOUND, failure(Link(message="first\nsecond")), "fix-environment")
    assert line == "environment (high): fix-environment — load: first second"


def test_a_group_of_errors_tells_each_of_them():
    """Of errors that happened side by side none is the cause of another, and two kinds leave open which one mattered."""
    stack = 'Traceback (most recent call last):\n  File "/srv/ws/a/step.py", line 3, in <module>\n    go()'
    missing = Link(name="FileNotFoundError", message="[Errno 2] No such file or directory: '/data/rates.csv'", stack=stack)
    group = Link(name="ExceptionGroup", message="outer (2 sub-exceptions)", stack=stack)
    mixed = failure(group, missing, Link(name="ValueError", message="bad row 7"), task_kind="cell")
    assert "which holds FileNotFoundError: [Errno 2] No such file or directory: '/data/rates.csv'; ValueError: bad row 7" in (
        root_cause(mixed, classify(mixed))
    )
    assert classify(mixed).confidence != "high"
    assert classify(failure(group, missing, task_kind="cell")).confidence == "high"

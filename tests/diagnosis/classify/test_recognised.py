"""The part of a long error that the deciding rule recognised, and what an agent says of itself."""

from __future__ import annotations

import pytest

from smithers_nb.diagnosis.advice.root_cause import root_cause
from smithers_nb.diagnosis.classify.classify import classify
from smithers_nb.model.verdict import Failure, Link

NOISE = "\n".join(f"#{n} [stage {n}/60] RUN step --flag=error-prone  # 0 errors, retrying" for n in range(150))


def failure(message: str, task_kind: str = "compute", **details: object) -> Failure:
    """Make a failure with one error."""
    return Failure(run_id="r", node_id="build", kind="attempt", chain=(Link(message=message),), task_kind=task_kind, details=details)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("write /var/lib/docker/tmp: no space left on device", "no space left on device"),
        ("/usr/bin/ld: cannot find -lssl", "cannot find -lssl"),
        ("/bin/sh: 1: magick: not found", "magick: not found"),
        ("scripts/plan.sh: línea 4: terraform: orden no encontrada", "terraform: orden no encontrada"),
        ("npm error code ERESOLVE", "ERESOLVE"),
        ('FATAL:  password authentication failed for user "app"', "password authentication failed"),
        ("Error: self-signed certificate in certificate chain", "self-signed certificate"),
    ],
)
@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_the_line_that_was_recognised_is_quoted(line, words, place):
    """Wherever the telling line stands in a build log, it is what the verdict says; a line that begins with a path counts."""
    half = len(NOISE) // 2
    text = {"first": f"{line}\n{NOISE}", "middle": f"{NOISE[:half]}\n{line}\n{NOISE[half:]}", "last": f"{NOISE}\n{line}\nexit status 1"}[
        place
    ]
    found = classify(failure(text))
    assert found.failure_class == "environment"
    assert words in root_cause(failure(text), found)


def test_a_reason_at_the_end_of_a_paragraph():
    """A reason that stands at the end of one long line is quoted too."""
    text = (
        "The release could not be published. "
        + "The registry was asked for its index. " * 60
        + "It answered: 401 Unauthorized, token expired."
    )
    assert "token expired" in root_cause(failure(text), classify(failure(text)))


def test_rulers_are_folded():
    """A progress bar does not use up the room that a reason needs."""
    text = "=" * 4000 + " pull access denied for acme/api"
    assert "pull access denied" in root_cause(failure(text), classify(failure(text)))


def test_a_short_error_is_left_as_it_is():
    """What can be read whole has no part that stands out."""
    assert classify(failure("connect ECONNREFUSED 127.0.0.1:5439")).quote == ""


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("I wasn't able to write the file: permission to use Write was denied.", "workflow-bug"),
        ("I need your approval to run `npm test`.", "workflow-bug"),
        ("Credit balance is too low", "environment"),
        ("Invalid API key · Please run /login", "environment"),
        ("API Error: 529 overloaded_error", "agent-flake"),
    ],
)
def test_what_the_agent_said(answer, expected):
    """An answer that is not valid JSON is quoted, and classed by what the agent says of itself."""
    found = failure("returned plain text, but outputs must be JSON", "agent", answer=answer)
    classification = classify(found)
    assert (classification.failure_class, classification.confidence) == (expected, "medium")
    assert answer.rstrip(".") in root_cause(found, classification)


@pytest.mark.parametrize(
    "answer", ["Here is the summary you asked for: sales went up.", "The endpoint /v1/orders returns 404 and should return 200."]
)
def test_an_answer_about_the_work_decides_nothing(answer):
    """What an agent writes about its work is not taken for its own trouble."""
    message = "returned plain text, but Smithers task outputs must be JSON objects"
    assert classify(failure(message, "agent", answer=answer)).failure_class == "agent-flake"


def test_the_last_words_before_a_time_limit():
    """A time limit is explained by what was printed last."""
    found = failure("Agent timed out after 60000ms", "agent", lastWords="Waiting for permission to use Bash …")
    assert classify(found).rule == "agent-not-permitted"

"""The board shows every stage, also those still to come, and one state for each."""

from __future__ import annotations

from smithers_nb.workflows.smithering.board import STAGES, Board, stages_of
from smithers_nb.workflows.smithering.building.scheduler import TicketState


def nodes(**states: str) -> list[dict[str, str]]:
    return [{"nodeId": name.replace("__", ":").replace("_", "-"), "state": state} for name, state in states.items()]


def states(**given: str) -> dict[str, str]:
    return {each.stage: each.state for each in stages_of(nodes(**given))}


def test_stages_to_come_are_on_the_board() -> None:
    """A run that has only begun shows all stages, those it has not reached as pending."""
    found = states(setup="finished", tier="finished")
    assert list(found) == list(STAGES)
    assert (found["Request"], found["Spec"]) == ("finished", "pending")


def test_a_gate_that_waits_is_the_state_of_its_stage() -> None:
    """What waits for a person is seen on the board, before what is finished beside it."""
    assert states(prd="finished", gate__prd="waiting-approval")["Spec"] == "waiting-approval"


def test_one_failed_node_fails_its_stage() -> None:
    """A stage with a failed node is failed, whatever else is finished."""
    assert states(research__eng_deps="failed", eng__doc="finished")["Engineering"] == "failed"


def test_a_stop_has_a_line_of_its_own() -> None:
    """A run that was cancelled at a gate says where."""
    assert stages_of(nodes(cancelled__prd="finished"))[-1].nodes == "cancelled:prd"


def test_card_and_frame_say_the_same() -> None:
    """Frame, page and text have every stage; gates, tickets and the merge queue are on the card."""
    tickets = [TicketState(ticket_id="alpha", state="ready-to-land", attempt=1), TicketState(ticket_id="beta", state="landed")]
    board = Board("run-1", "waiting-approval", stages_of(nodes(setup="finished")), ["gate:prd: Is it right?"], tickets, ["alpha"], 0)
    card = board.card()
    for text in (card.text, card.html):
        assert "gate:prd: Is it right?" in text
        assert "Merge queue: alpha." in text
        assert all(stage in text for stage in STAGES)
    assert list(board.frame()["stage"]) == list(STAGES)

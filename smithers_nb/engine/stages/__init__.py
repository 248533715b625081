"""The calls that make a notebook durable, inside its kernel: stages that run once, gates and questions that wait for a person."""

from smithers_nb.engine.stages.api import ask, gate, stage
from smithers_nb.engine.stages.context import current, lab_run
from smithers_nb.engine.stages.parked import Parked

__all__ = ["Parked", "ask", "current", "gate", "lab_run", "stage"]

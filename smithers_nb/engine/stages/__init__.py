"""What makes a notebook durable from inside its kernel: stages that run once, gates and questions that wait for a person."""

from smithers_nb.engine.stages.calls import ask, gate, stage
from smithers_nb.engine.stages.parked import Parked
from smithers_nb.engine.stages.this_run import current, lab_run

__all__ = ["Parked", "ask", "current", "gate", "lab_run", "stage"]

"""Operations on runs: submit, resume, retry, rewind, cancel, decide, answer.

Functions over a `Location`: each checks first, refuses with a `ControlRefused` that has Smithers' own code, and changes the journal in one
transaction. None executes a notebook; `engine.workers` does so afterwards.
"""

from smithers_nb.engine.control.cancel import Cancellation, cancel
from smithers_nb.engine.control.decisions import DecisionResult, Pending, acting, answer, decide, login, pending, question_of
from smithers_nb.engine.control.edit_check import left_behind
from smithers_nb.engine.control.reset import ResetPlan, reset_plan, retry_task
from smithers_nb.engine.control.resume import Resumption, resume
from smithers_nb.engine.control.rewind import RewindPlan, frames_of, rewind, rewind_plan
from smithers_nb.engine.control.settings import Settings
from smithers_nb.engine.control.submit import submit

__all__ = [
    "Cancellation",
    "DecisionResult",
    "Pending",
    "ResetPlan",
    "Resumption",
    "RewindPlan",
    "Settings",
    "acting",
    "answer",
    "cancel",
    "decide",
    "frames_of",
    "left_behind",
    "login",
    "pending",
    "question_of",
    "reset_plan",
    "resume",
    "retry_task",
    "rewind",
    "rewind_plan",
    "submit",
]

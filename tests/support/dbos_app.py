"""A real DBOS application that leaves every kind of workflow behind and dies: `python dbos_app.py DATABASE_URL`."""

import os
import sys
import time

from dbos import DBOS, SetEnqueueOptions, SetWorkflowID, WorkflowSerializationFormat

DBOS(
    config={
        "name": "shop",
        "system_database_url": sys.argv[1],
        "run_admin_server": False,
        "log_level": "CRITICAL",
        "application_version": "v1",
    }
)


class Refused(Exception):
    """An exception of the application's own, which no reader can import."""


@DBOS.step()
def charge(order):
    return {"charged": order}


@DBOS.step()
def ship(order):
    raise Refused(f"the warehouse refused order {order}")


@DBOS.step(retries_allowed=True, max_attempts=3, interval_seconds=0.001, backoff_rate=1)
def ask_carrier(order):
    raise TimeoutError(f"no answer for order {order}")


@DBOS.workflow()
def order(number):
    for _ in range(3):
        charge(number)
    DBOS.set_event("stage", "charged")
    return {"done": number}


@DBOS.workflow()
def refused(number):
    charge(number)
    ship(number)


@DBOS.workflow(serialization_type=WorkflowSerializationFormat.PORTABLE)
def portable(number):
    charge(number)
    ship(number)


@DBOS.workflow()
def tired(number):
    charge(number)
    ask_carrier(number)


@DBOS.workflow()
def own_fault(number):
    try:
        ship(number)
    except Refused:
        charge(number)
    return {}["missing"]


@DBOS.workflow()
def child(number):
    ship(number)


@DBOS.workflow()
def parent(number):
    charge(number)
    return DBOS.start_workflow(child, number).get_result()


@DBOS.workflow()
def sleeper():
    DBOS.sleep(3600)


@DBOS.workflow()
def receiver():
    return DBOS.recv("approval", timeout_seconds=3600)


@DBOS.workflow()
def hang(number):
    charge(number)
    time.sleep(60)


DBOS.launch()
mail = DBOS.register_queue("mail", global_concurrency=1, polling_interval_sec=0.02)
for workflow in (order, refused, portable, tired, own_fault, parent):
    with SetWorkflowID(f"{workflow.__name__}-1"):
        try:
            workflow(7)
        except Exception:  # noqa: BLE001  # what they leave behind is the point
            continue
for waiting in (sleeper, receiver):
    with SetWorkflowID(f"{waiting.__name__}-1"):
        DBOS.start_workflow(waiting)
with SetWorkflowID("cancelled-1"):
    DBOS.start_workflow(sleeper)
DBOS.cancel_workflow("cancelled-1")
with SetWorkflowID("hang-1"):
    mail.enqueue(hang, 8)
with SetWorkflowID("later-1"), SetEnqueueOptions(delay_seconds=3600):
    mail.enqueue(order, 10)
DBOS.send("receiver-1", {"ok": True}, topic="other")
while not all(DBOS.list_workflow_steps(name) for name in ("sleeper-1", "receiver-1", "hang-1")):
    time.sleep(0.02)
with SetWorkflowID("queued-1"):
    mail.enqueue(order, 9)
os._exit(9)

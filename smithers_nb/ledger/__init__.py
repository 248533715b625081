"""The ledger of work items: nothing fails, is given back or is closed in it without a reason that stays."""

from smithers_nb.ledger.store import Ledger

__all__ = ["Ledger"]

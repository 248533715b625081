"""Import and export: what other systems kept comes in whole, and the ledger goes out and comes back without a loss."""

from smithers_nb.ledger.transfer.own import export
from smithers_nb.ledger.transfer.store import import_store
from smithers_nb.ledger.transfer.written import Imported

__all__ = ["Imported", "export", "import_store"]

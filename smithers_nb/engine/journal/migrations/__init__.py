"""Brings a journal to its newest schema, with Alembic."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import sqlalchemy as sa

_turn: Final = threading.Lock()  # Alembic keeps what it works on in its module


def migrate(engine: sa.Engine) -> None:
    """Apply every migration that a journal does not have yet, all or none; of two processes or threads at once, one does it."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    with _turn, engine.connect() as plain:
        connection = plain.execution_options(writes=True)
        with connection.begin():
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

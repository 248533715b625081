"""What Alembic runs: it works on the connection that `migrate` hands it, inside that transaction."""

from alembic import context

from smithers_nb.engine.journal.schema import POSTGRES_SCHEMA, metadata

connection = context.config.attributes["connection"]
if connection.dialect.name == "postgresql":
    connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7305810233)")  # one migration at a time
    connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {POSTGRES_SCHEMA}")
    connection.exec_driver_sql(f"SET LOCAL search_path TO {POSTGRES_SCHEMA}")
context.configure(connection=connection, target_metadata=metadata, transactional_ddl=False)
context.run_migrations()

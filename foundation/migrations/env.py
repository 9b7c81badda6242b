"""Alembic's entry: one history per service, in the service's own schema, on the connection `migrate` holds."""

from alembic import context
from sqlmodel import SQLModel

service = context.config.attributes["service"]


def ours(object: object, name: str | None, type_: str, reflected: bool, compare_to: object) -> bool:
    """Only the tables of this service's schema."""
    table = object if type_ == "table" else getattr(object, "table", None)
    return table is None or getattr(table, "schema", None) == service


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    include_schemas=True,
    include_name=lambda name, type_, parents: name == service if type_ == "schema" else True,
    include_object=ours,
    version_table_schema=service,
    compare_type=True,
    compare_server_default=True,
)
with context.begin_transaction():
    context.run_migrations()

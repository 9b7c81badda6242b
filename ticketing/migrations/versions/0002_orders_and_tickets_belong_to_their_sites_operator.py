"""orders and tickets belong to their site's operator

Revision ID: 0002
Revises: 0001
"""

from collections.abc import Sequence

from alembic import op

revision: str = "0002"
down_revision: str | Sequence[str] | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

TABLES = ("order", "ticket")
"""Each has a foreign key to a row of the operator already; one more locks his own row at every order."""


def upgrade() -> None:
    for table in TABLES:
        op.drop_constraint(f"{table}_operator_id_fkey", table, schema="ticketing", type_="foreignkey")


def downgrade() -> None:
    for table in TABLES:
        op.create_foreign_key(
            f"{table}_operator_id_fkey",
            table,
            "operator",
            ["operator_id"],
            ["id"],
            source_schema="ticketing",
            referent_schema="foundation",
        )

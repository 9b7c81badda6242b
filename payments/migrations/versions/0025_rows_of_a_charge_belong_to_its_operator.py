"""rows of a charge belong to its operator

Revision ID: 0025
Revises: 0024
"""

from collections.abc import Sequence

from alembic import op

revision: str = "0025"
down_revision: str | Sequence[str] | None = "0024"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

TABLES = ("charge_event", "charge_line", "line_paid", "receipt_outcome", "transfer")
"""Each has a foreign key to a row of the operator already; one more locks his own row at every payment."""


def upgrade() -> None:
    for table in TABLES:
        op.drop_constraint(f"{table}_operator_id_fkey", table, schema="payments", type_="foreignkey")


def downgrade() -> None:
    for table in TABLES:
        op.create_foreign_key(
            f"{table}_operator_id_fkey",
            table,
            "operator",
            ["operator_id"],
            ["id"],
            source_schema="payments",
            referent_schema="foundation",
        )

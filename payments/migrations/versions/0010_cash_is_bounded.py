"""Cash is bounded

Revision ID: 0010
Revises: 0009
"""

from collections.abc import Sequence

from alembic import op

revision: str = '0010'
down_revision: str | Sequence[str] | None = '0009'
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_check_constraint(op.f('shift_closed_by_another'), 'shift', 'closed_by is distinct from staff_id', schema='payments')


def downgrade() -> None:
    op.drop_constraint(op.f('shift_closed_by_another'), 'shift', schema='payments')

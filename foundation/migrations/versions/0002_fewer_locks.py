"""An action's operator is said by its tablet; who is on duty at a place

Revision ID: 0002
Revises: 0001
"""

from collections.abc import Sequence

from alembic import op

revision: str = '0002'
down_revision: str | Sequence[str] | None = '0001'
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    # device_id leads to the operator already.
    op.drop_constraint('action_operator_id_fkey', 'action', schema='foundation', type_='foreignkey')
    # The files make it anew, with one argument more.
    op.execute('drop function if exists foundation.on_duty')


def downgrade() -> None:
    op.execute('drop function if exists foundation.on_duty')
    op.create_foreign_key('action_operator_id_fkey', 'action', 'operator', ['operator_id'], ['id'], source_schema='foundation', referent_schema='foundation')

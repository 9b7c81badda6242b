"""A signature says what it is for

Revision ID: 0013
Revises: 0012
"""

from collections.abc import Sequence

import sqlalchemy as sa
import sqlmodel
from alembic import op

revision: str = '0013'
down_revision: str | Sequence[str] | None = '0012'
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    # A proof lives two minutes: what those of before were for does not matter any more.
    op.add_column('witness', sa.Column('act', sqlmodel.sql.sqltypes.AutoString(), server_default='shift.close', nullable=False), schema='payments')
    op.alter_column('witness', 'act', server_default=None, schema='payments')
    op.add_column('witness', sa.Column('amount_vnd', sa.BigInteger(), nullable=True), schema='payments')
    op.create_check_constraint(op.f('witness_act'), 'witness', "act in ('shift.close', 'shift.drop.receive', 'cash.refund')", schema='payments')
    op.create_check_constraint(op.f('witness_amount'), 'witness', "(amount_vnd is null) = (act = 'shift.close')", schema='payments')


def downgrade() -> None:
    op.drop_constraint('witness_amount', 'witness', schema='payments', type_='check')
    op.drop_constraint('witness_act', 'witness', schema='payments', type_='check')
    op.drop_column('witness', 'amount_vnd', schema='payments')
    op.drop_column('witness', 'act', schema='payments')

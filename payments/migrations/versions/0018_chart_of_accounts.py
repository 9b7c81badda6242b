"""The operator's chart of accounts

Revision ID: 0018
Revises: 0017
"""

from collections.abc import Sequence

import sqlalchemy as sa
import sqlmodel
from alembic import op

revision: str = '0018'
down_revision: str | Sequence[str] | None = '0017'
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table('chart_entry',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('account', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.Column('valid_from', sa.Date(), nullable=False),
    sa.Column('number', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('name', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('staff_id', sa.Uuid(), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint("number ~ '^[0-9][0-9A-Z.-]{0,19}$'", name=op.f('chart_entry_number')),
    sa.CheckConstraint('length(name) between 1 and 100 and version > 0', name=op.f('chart_entry_name')),
    sa.ForeignKeyConstraint(['operator_id', 'staff_id'], ['foundation.staff.operator_id', 'foundation.staff.id'], name='chart_entry_staff_fkey'),
    sa.ForeignKeyConstraint(['operator_id'], ['foundation.operator.id'], name=op.f('chart_entry_operator_id_fkey')),
    sa.PrimaryKeyConstraint('operator_id', 'account', 'version', name=op.f('chart_entry_pkey')),
    schema='payments',
    comment='insert-only: days were exported by it'
    )


def downgrade() -> None:
    op.drop_table('chart_entry', schema='payments')

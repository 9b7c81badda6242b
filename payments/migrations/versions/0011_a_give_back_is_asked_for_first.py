"""A give-back is asked for first

Revision ID: 0011
Revises: 0010
"""

from collections.abc import Sequence

import sqlalchemy as sa
import sqlmodel
from alembic import op

revision: str = '0011'
down_revision: str | Sequence[str] | None = '0010'
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table('give_back_request',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('charge_id', sa.Uuid(), nullable=False),
    sa.Column('amount_vnd', sa.BigInteger(), nullable=False),
    sa.Column('state', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('reason', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('requested_by', sa.Uuid(), nullable=False),
    sa.Column('requested_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('decided_by', sa.Uuid(), nullable=True),
    sa.Column('decided_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('why', sqlmodel.sql.sqltypes.AutoString(), nullable=True),
    sa.CheckConstraint("num_nulls(decided_by, decided_at) = case state when 'requested' then 2 else 0 end", name=op.f('give_back_request_decided')),
    sa.CheckConstraint("state = 'rejected' or decided_by <> requested_by", name=op.f('give_back_request_second_person')),
    sa.CheckConstraint("state in ('requested', 'approved', 'rejected')", name=op.f('give_back_request_state')),
    sa.CheckConstraint('amount_vnd > 0', name=op.f('give_back_request_amount')),
    sa.ForeignKeyConstraint(['operator_id', 'charge_id'], ['payments.charge.operator_id', 'payments.charge.id'], name='give_back_request_charge_fkey'),
    sa.ForeignKeyConstraint(['operator_id', 'decided_by'], ['foundation.staff.operator_id', 'foundation.staff.id'], name='give_back_request_decided_fkey'),
    sa.ForeignKeyConstraint(['operator_id', 'requested_by'], ['foundation.staff.operator_id', 'foundation.staff.id'], name='give_back_request_requested_fkey'),
    sa.ForeignKeyConstraint(['operator_id'], ['foundation.operator.id'], name=op.f('give_back_request_operator_id_fkey')),
    sa.PrimaryKeyConstraint('operator_id', 'id', name=op.f('give_back_request_pkey')),
    schema='payments'
    )
    op.create_index('give_back_request_open_key', 'give_back_request', ['operator_id', 'charge_id'], unique=True, schema='payments', postgresql_where=sa.text("state = 'requested'"))


def downgrade() -> None:
    op.drop_index('give_back_request_open_key', table_name='give_back_request', schema='payments', postgresql_where=sa.text("state = 'requested'"))
    op.drop_table('give_back_request', schema='payments')

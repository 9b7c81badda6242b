"""Attempts to pay on a gateway's page, and the merchants they pay

Revision ID: 0008
Revises: 0007
"""

from collections.abc import Sequence

import sqlalchemy as sa
import sqlmodel
from alembic import op

revision: str = '0008'
down_revision: str | Sequence[str] | None = '0007'
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table('merchant',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('gateway', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('code', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('owner_name', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.CheckConstraint("code ~ '^[A-Za-z0-9]{4,20}$'", name=op.f('merchant_code')),
    sa.ForeignKeyConstraint(['operator_id'], ['foundation.operator.id'], name=op.f('merchant_operator_id_fkey')),
    sa.PrimaryKeyConstraint('operator_id', 'gateway', 'code', name=op.f('merchant_pkey')),
    schema='payments'
    )
    op.create_table('attempt',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('charge_id', sa.Uuid(), nullable=False),
    sa.Column('gateway', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('merchant', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('gateway_ref', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('amount_vnd', sa.BigInteger(), nullable=False),
    sa.Column('state', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('code', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('transaction_no', sqlmodel.sql.sqltypes.AutoString(), nullable=True),
    sa.Column('opened_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('ended_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('ask_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('asks', sa.Integer(), nullable=False),
    sa.CheckConstraint("(state = 'open') = (ended_at is null)", name=op.f('attempt_ended')),
    sa.CheckConstraint("(state = 'paid') = (transaction_no is not null)", name=op.f('attempt_paid')),
    sa.CheckConstraint("state in ('open', 'paid', 'declined', 'abandoned', 'reversed')", name=op.f('attempt_state')),
    sa.CheckConstraint('amount_vnd > 0', name=op.f('attempt_amount')),
    sa.ForeignKeyConstraint(['operator_id', 'charge_id'], ['payments.charge.operator_id', 'payments.charge.id'], name='attempt_charge_fkey'),
    sa.ForeignKeyConstraint(['operator_id', 'gateway', 'merchant'], ['payments.merchant.operator_id', 'payments.merchant.gateway', 'payments.merchant.code'], name='attempt_merchant_fkey'),
    sa.ForeignKeyConstraint(['operator_id'], ['foundation.operator.id'], name=op.f('attempt_operator_id_fkey')),
    sa.PrimaryKeyConstraint('operator_id', 'id', name=op.f('attempt_pkey')),
    sa.UniqueConstraint('operator_id', 'gateway', 'merchant', 'gateway_ref', name='attempt_gateway_ref_key'),
    schema='payments'
    )
    op.create_index('attempt_ask_idx', 'attempt', ['operator_id', 'ask_at'], unique=False, schema='payments', postgresql_where=sa.text('ask_at is not null'))
    op.create_index('attempt_charge_idx', 'attempt', ['operator_id', 'charge_id'], unique=False, schema='payments')
    op.create_index('attempt_open_key', 'attempt', ['operator_id', 'charge_id'], unique=True, schema='payments', postgresql_where=sa.text("state = 'open'"))
    op.create_index('attempt_transaction_key', 'attempt', ['operator_id', 'gateway', 'merchant', 'transaction_no'], unique=True, schema='payments', postgresql_where=sa.text('transaction_no is not null'))


def downgrade() -> None:
    op.drop_index('attempt_transaction_key', table_name='attempt', schema='payments', postgresql_where=sa.text('transaction_no is not null'))
    op.drop_index('attempt_open_key', table_name='attempt', schema='payments', postgresql_where=sa.text("state = 'open'"))
    op.drop_index('attempt_charge_idx', table_name='attempt', schema='payments')
    op.drop_index('attempt_ask_idx', table_name='attempt', schema='payments', postgresql_where=sa.text('ask_at is not null'))
    op.drop_table('attempt', schema='payments')
    op.drop_table('merchant', schema='payments')

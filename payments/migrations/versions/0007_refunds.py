"""Refunds

Revision ID: 0007
Revises: 0006
"""

from collections.abc import Sequence

import sqlalchemy as sa
import sqlmodel
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = '0007'
down_revision: str | Sequence[str] | None = '0006'
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table('refund_day',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('staff_id', sa.Uuid(), nullable=False),
    sa.Column('day', sa.Date(), nullable=False),
    sa.Column('asked_vnd', sa.BigInteger(), nullable=False),
    sa.CheckConstraint('asked_vnd > 0', name=op.f('refund_day_asked')),
    sa.ForeignKeyConstraint(['operator_id', 'staff_id'], ['foundation.staff.operator_id', 'foundation.staff.id'], name='refund_day_staff_fkey'),
    sa.ForeignKeyConstraint(['operator_id'], ['foundation.operator.id'], name=op.f('refund_day_operator_id_fkey')),
    sa.PrimaryKeyConstraint('operator_id', 'staff_id', 'day', name=op.f('refund_day_pkey')),
    schema='payments'
    )
    op.create_table('given_back',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('receipt_id', sa.Uuid(), nullable=False),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('charge_id', sa.Uuid(), nullable=False),
    sa.Column('amount_vnd', sa.BigInteger(), nullable=False),
    sa.Column('leaves_from', sa.DateTime(timezone=True), nullable=False),
    sa.Column('staff_id', sa.Uuid(), nullable=False),
    sa.Column('reason', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint('amount_vnd > 0 and number > 0', name=op.f('given_back_amount')),
    sa.ForeignKeyConstraint(['operator_id', 'charge_id'], ['payments.charge.operator_id', 'payments.charge.id'], name='given_back_charge_fkey'),
    sa.ForeignKeyConstraint(['operator_id', 'receipt_id'], ['payments.held.operator_id', 'payments.held.receipt_id'], name='given_back_held_fkey'),
    sa.ForeignKeyConstraint(['operator_id', 'staff_id'], ['foundation.staff.operator_id', 'foundation.staff.id'], name='given_back_staff_fkey'),
    sa.ForeignKeyConstraint(['operator_id'], ['foundation.operator.id'], name=op.f('given_back_operator_id_fkey')),
    sa.PrimaryKeyConstraint('operator_id', 'receipt_id', 'number', name=op.f('given_back_pkey')),
    schema='payments',
    comment='insert-only: what was decided'
    )
    op.create_index('given_back_charge_idx', 'given_back', ['operator_id', 'charge_id'], unique=False, schema='payments')
    op.create_table('payee_named',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('receipt_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('to_sealed', sa.LargeBinary(), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['operator_id', 'receipt_id'], ['payments.held.operator_id', 'payments.held.receipt_id'], name='payee_named_held_fkey'),
    sa.ForeignKeyConstraint(['operator_id'], ['foundation.operator.id'], name=op.f('payee_named_operator_id_fkey')),
    sa.PrimaryKeyConstraint('operator_id', 'receipt_id', 'id', name=op.f('payee_named_pkey')),
    schema='payments',
    comment='insert-only: what was said'
    )
    op.create_table('refund',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('receipt_id', sa.Uuid(), nullable=False),
    sa.Column('amount_vnd', sa.BigInteger(), nullable=False),
    sa.Column('state', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('reason', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('requested_by', sa.Uuid(), nullable=False),
    sa.Column('requested_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('approved_by', sa.Uuid(), nullable=True),
    sa.Column('approved_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('leaves_from', sa.DateTime(timezone=True), nullable=False),
    sa.Column('to_sealed', sa.LargeBinary(), nullable=True),
    sa.Column('asked_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('accepted_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('ended_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('debit_ref', sqlmodel.sql.sqltypes.AutoString(), nullable=True),
    sa.Column('return_ref', sqlmodel.sql.sqltypes.AutoString(), nullable=True),
    sa.Column('why', sqlmodel.sql.sqltypes.AutoString(), nullable=True),
    sa.Column('looks', sa.Integer(), nullable=False),
    sa.Column('look_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint("(asked_at is null) = (state in ('requested', 'approved', 'rejected'))", name=op.f('refund_asked')),
    sa.CheckConstraint("(ended_at is not null) = (state in ('settled', 'returned', 'refused', 'rejected'))", name=op.f('refund_ended')),
    sa.CheckConstraint("(look_at is not null) = (state in ('approved', 'asking', 'unknown', 'accepted'))", name=op.f('refund_looked_at')),
    sa.CheckConstraint("approved_at is not null or state in ('requested', 'rejected')", name=op.f('refund_approved')),
    sa.CheckConstraint("state = 'refused' or (accepted_at is not null) = (state in ('accepted', 'settled', 'returned'))", name=op.f('refund_accepted')),
    sa.CheckConstraint("state in ('requested', 'approved', 'asking', 'unknown', 'accepted', 'settled', 'returned', 'refused', 'rejected')", name=op.f('refund_state')),
    sa.CheckConstraint("to_sealed is null or approved_by is not null or state in ('requested', 'rejected')", name=op.f('refund_named_account')),
    sa.CheckConstraint('amount_vnd > 0', name=op.f('refund_amount')),
    sa.CheckConstraint('approved_by <> requested_by', name=op.f('refund_second_person')),
    sa.ForeignKeyConstraint(['operator_id', 'approved_by'], ['foundation.staff.operator_id', 'foundation.staff.id'], name='refund_approved_fkey'),
    sa.ForeignKeyConstraint(['operator_id', 'receipt_id'], ['payments.held.operator_id', 'payments.held.receipt_id'], name='refund_held_fkey'),
    sa.ForeignKeyConstraint(['operator_id', 'requested_by'], ['foundation.staff.operator_id', 'foundation.staff.id'], name='refund_requested_fkey'),
    sa.ForeignKeyConstraint(['operator_id'], ['foundation.operator.id'], name=op.f('refund_operator_id_fkey')),
    sa.PrimaryKeyConstraint('operator_id', 'id', name=op.f('refund_pkey')),
    schema='payments'
    )
    op.create_index('refund_look_idx', 'refund', ['operator_id', 'look_at'], unique=False, schema='payments', postgresql_where=sa.text('look_at is not null'))
    op.create_index('refund_receipt_idx', 'refund', ['operator_id', 'receipt_id'], unique=False, schema='payments')
    op.create_table('refund_event',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('refund_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('state', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('cause', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('staff_id', sa.Uuid(), nullable=True),
    sa.Column('why', sqlmodel.sql.sqltypes.AutoString(), nullable=True),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['operator_id', 'refund_id'], ['payments.refund.operator_id', 'payments.refund.id'], name='refund_event_refund_fkey'),
    sa.ForeignKeyConstraint(['operator_id'], ['foundation.operator.id'], name=op.f('refund_event_operator_id_fkey')),
    sa.PrimaryKeyConstraint('operator_id', 'refund_id', 'id', name=op.f('refund_event_pkey')),
    schema='payments',
    comment='insert-only: history'
    )


def downgrade() -> None:
    op.drop_table('refund_event', schema='payments')
    op.drop_index('refund_receipt_idx', table_name='refund', schema='payments')
    op.drop_index('refund_look_idx', table_name='refund', schema='payments', postgresql_where=sa.text('look_at is not null'))
    op.drop_table('refund', schema='payments')
    op.drop_table('payee_named', schema='payments')
    op.drop_index('given_back_charge_idx', table_name='given_back', schema='payments')
    op.drop_table('given_back', schema='payments')
    op.drop_table('refund_day', schema='payments')

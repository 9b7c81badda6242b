"""The close of a day, reservations

Revision ID: 0003
Revises: 0002
"""

from collections.abc import Sequence

import sqlalchemy as sa
import sqlmodel
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = '0003'
down_revision: str | Sequence[str] | None = '0002'
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table('book',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('closed_through', sa.Date(), nullable=False),
    sa.ForeignKeyConstraint(['operator_id'], ['foundation.operator.id'], name=op.f('book_operator_id_fkey')),
    sa.PrimaryKeyConstraint('operator_id', name=op.f('book_pkey')),
    schema='payments'
    )
    op.create_table('day_close',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('day', sa.Date(), nullable=False),
    sa.Column('journals', sa.BigInteger(), nullable=False),
    sa.Column('turnover_vnd', sa.BigInteger(), nullable=False),
    sa.Column('closed_by', sa.Uuid(), nullable=False),
    sa.Column('closed_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('recorded_at', sa.DateTime(timezone=True), server_default=sa.text('clock_timestamp()'), nullable=False),
    sa.CheckConstraint('journals >= 0 and turnover_vnd >= 0', name=op.f('day_close_counts')),
    sa.ForeignKeyConstraint(['operator_id'], ['foundation.operator.id'], name=op.f('day_close_operator_id_fkey')),
    sa.PrimaryKeyConstraint('operator_id', 'day', name=op.f('day_close_pkey')),
    schema='payments',
    comment='insert-only: a cut'
    )
    op.create_table('day_balance',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('day', sa.Date(), nullable=False),
    sa.Column('account', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('debits_vnd', sa.BigInteger(), nullable=False),
    sa.Column('credits_vnd', sa.BigInteger(), nullable=False),
    sa.Column('closing_vnd', sa.BigInteger(), nullable=False),
    sa.CheckConstraint('debits_vnd >= 0 and credits_vnd >= 0', name=op.f('day_balance_turnover')),
    sa.ForeignKeyConstraint(['operator_id', 'day'], ['payments.day_close.operator_id', 'payments.day_close.day'], name='day_balance_day_fkey'),
    sa.ForeignKeyConstraint(['operator_id'], ['foundation.operator.id'], name=op.f('day_balance_operator_id_fkey')),
    sa.PrimaryKeyConstraint('operator_id', 'day', 'account', name=op.f('day_balance_pkey')),
    schema='payments',
    comment='insert-only: a snapshot'
    )
    op.create_table('reservation',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('account', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('amount_vnd', sa.BigInteger(), nullable=False),
    sa.Column('source_type', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('source_id', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('purpose', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('recorded_at', sa.DateTime(timezone=True), server_default=sa.text('clock_timestamp()'), nullable=False),
    sa.CheckConstraint('amount_vnd between 1 and 500000000000', name=op.f('reservation_amount')),
    sa.ForeignKeyConstraint(['operator_id', 'account'], ['payments.balance.operator_id', 'payments.balance.account'], name='reservation_account_fkey'),
    sa.ForeignKeyConstraint(['operator_id'], ['foundation.operator.id'], name=op.f('reservation_operator_id_fkey')),
    sa.PrimaryKeyConstraint('operator_id', 'id', name=op.f('reservation_pkey')),
    sa.UniqueConstraint('operator_id', 'source_type', 'source_id', 'purpose', name='reservation_source_key'),
    schema='payments',
    comment='insert-only: its end is a row of its own'
    )
    op.create_table('reservation_end',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('reservation_id', sa.Uuid(), nullable=False),
    sa.Column('outcome', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('posted_vnd', sa.BigInteger(), nullable=False),
    sa.Column('recorded_at', sa.DateTime(timezone=True), server_default=sa.text('clock_timestamp()'), nullable=False),
    sa.CheckConstraint("outcome in ('posted', 'voided', 'expired')", name=op.f('reservation_end_outcome')),
    sa.CheckConstraint("posted_vnd >= 0 and (outcome = 'posted') = (posted_vnd > 0)", name=op.f('reservation_end_posted')),
    sa.ForeignKeyConstraint(['operator_id', 'reservation_id'], ['payments.reservation.operator_id', 'payments.reservation.id'], name='reservation_end_reservation_fkey'),
    sa.ForeignKeyConstraint(['operator_id'], ['foundation.operator.id'], name=op.f('reservation_end_operator_id_fkey')),
    sa.PrimaryKeyConstraint('operator_id', 'reservation_id', name=op.f('reservation_end_pkey')),
    schema='payments',
    comment='insert-only: a reservation ends once'
    )
    op.add_column('balance', sa.Column('reserved_vnd', sa.BigInteger(), server_default='0', nullable=False), schema='payments')
    op.add_column('journal', sa.Column('relates_to_day', sa.Date(), sa.Computed("(effective_at at time zone 'Asia/Ho_Chi_Minh')::date", persisted=True), nullable=False), schema='payments')
    op.create_index('journal_day_idx', 'journal', ['operator_id', 'effective_day'], unique=False, schema='payments')
    op.create_check_constraint(
        op.f('journal_days'), 'journal', 'effective_day >= relates_to_day', schema='payments'
    )
    op.create_check_constraint(
        op.f('balance_reserved'), 'balance', 'reserved_vnd between 0 and balance_vnd', schema='payments'
    )
    op.create_check_constraint(
        op.f('account_authorising'), 'account', "authorising = (code like 'cash_drawer:%')", schema='payments'
    )


def downgrade() -> None:
    op.drop_constraint(op.f('account_authorising'), 'account', schema='payments')
    op.drop_constraint(op.f('balance_reserved'), 'balance', schema='payments')
    op.drop_constraint(op.f('journal_days'), 'journal', schema='payments')
    op.drop_index('journal_day_idx', table_name='journal', schema='payments')
    op.drop_column('journal', 'relates_to_day', schema='payments')
    op.drop_column('balance', 'reserved_vnd', schema='payments')
    op.drop_table('reservation_end', schema='payments')
    op.drop_table('reservation', schema='payments')
    op.drop_table('day_balance', schema='payments')
    op.drop_table('day_close', schema='payments')
    op.drop_table('book', schema='payments')

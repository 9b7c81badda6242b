"""Days that are opened again, months that never are

Revision ID: 0017
Revises: 0016
"""

from collections.abc import Sequence

import sqlalchemy as sa
import sqlmodel
from alembic import op

revision: str = '0017'
down_revision: str | Sequence[str] | None = '0016'
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.alter_column('book', 'closed_through', existing_type=sa.Date(), nullable=True, schema='payments')
    op.drop_constraint('day_balance_day_fkey', 'day_balance', schema='payments', type_='foreignkey')
    for table, key in (('day_close', ['operator_id', 'day', 'number']), ('day_balance', ['operator_id', 'day', 'number', 'account'])):
        op.add_column(table, sa.Column('number', sa.Integer(), server_default='1', nullable=False), schema='payments')
        op.alter_column(table, 'number', server_default=None, schema='payments')
        op.drop_constraint(f'{table}_pkey', table, schema='payments')
        op.create_primary_key(f'{table}_pkey', table, key, schema='payments')
    op.create_foreign_key('day_balance_day_fkey', 'day_balance', 'day_close', ['operator_id', 'day', 'number'], ['operator_id', 'day', 'number'], source_schema='payments', referent_schema='payments')
    op.drop_constraint('day_close_counts', 'day_close', schema='payments')
    op.create_check_constraint(op.f('day_close_counts'), 'day_close', 'journals >= 0 and turnover_vnd >= 0 and number > 0', schema='payments')
    op.create_table('book_request',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('kind', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('day', sa.Date(), nullable=False),
    sa.Column('number', sa.Integer(), nullable=True),
    sa.Column('reason', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('state', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('requested_by', sa.Uuid(), nullable=False),
    sa.Column('requested_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('decided_by', sa.Uuid(), nullable=True),
    sa.Column('decided_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('why', sqlmodel.sql.sqltypes.AutoString(), nullable=True),
    sa.CheckConstraint("(decided_by = requested_by) = (state = 'withdrawn')", name=op.f('book_request_second_person')),
    sa.CheckConstraint("(kind = 'reopen') = (number is not null) and (kind = 'lock' or reason <> '')", name=op.f('book_request_close')),
    sa.CheckConstraint("kind = 'reopen' or extract(day from day) = 1", name=op.f('book_request_month')),
    sa.CheckConstraint("kind in ('reopen', 'lock')", name=op.f('book_request_kind')),
    sa.CheckConstraint("num_nulls(decided_by, decided_at) = case state when 'requested' then 2 else 0 end", name=op.f('book_request_decided')),
    sa.CheckConstraint("state in ('requested', 'agreed', 'refused', 'withdrawn')", name=op.f('book_request_state')),
    sa.ForeignKeyConstraint(['operator_id', 'day', 'number'], ['payments.day_close.operator_id', 'payments.day_close.day', 'payments.day_close.number'], name='book_request_close_fkey'),
    sa.ForeignKeyConstraint(['operator_id', 'decided_by'], ['foundation.staff.operator_id', 'foundation.staff.id'], name='book_request_decided_fkey'),
    sa.ForeignKeyConstraint(['operator_id', 'requested_by'], ['foundation.staff.operator_id', 'foundation.staff.id'], name='book_request_requested_fkey'),
    sa.ForeignKeyConstraint(['operator_id'], ['foundation.operator.id'], name=op.f('book_request_operator_id_fkey')),
    sa.PrimaryKeyConstraint('operator_id', 'id', name=op.f('book_request_pkey')),
    schema='payments'
    )
    op.create_index('book_request_open_key', 'book_request', ['operator_id', 'kind', 'day'], unique=True, schema='payments', postgresql_where=sa.text("state = 'requested'"))
    op.create_table('day_reopening',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('day', sa.Date(), nullable=False),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('request_id', sa.Uuid(), nullable=False),
    sa.Column('asked_by', sa.Uuid(), nullable=False),
    sa.Column('agreed_by', sa.Uuid(), nullable=False),
    sa.Column('reason', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('recorded_at', sa.DateTime(timezone=True), server_default=sa.text('clock_timestamp()'), nullable=False),
    sa.CheckConstraint('agreed_by <> asked_by', name=op.f('day_reopening_second_person')),
    sa.ForeignKeyConstraint(['operator_id', 'day', 'number'], ['payments.day_close.operator_id', 'payments.day_close.day', 'payments.day_close.number'], name='day_reopening_close_fkey'),
    sa.ForeignKeyConstraint(['operator_id', 'request_id'], ['payments.book_request.operator_id', 'payments.book_request.id'], name='day_reopening_request_fkey'),
    sa.ForeignKeyConstraint(['operator_id'], ['foundation.operator.id'], name=op.f('day_reopening_operator_id_fkey')),
    sa.PrimaryKeyConstraint('operator_id', 'day', 'number', name=op.f('day_reopening_pkey')),
    schema='payments',
    comment='insert-only: history'
    )
    op.create_table('month_lock',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('month', sa.Date(), nullable=False),
    sa.Column('request_id', sa.Uuid(), nullable=False),
    sa.Column('asked_by', sa.Uuid(), nullable=False),
    sa.Column('agreed_by', sa.Uuid(), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('recorded_at', sa.DateTime(timezone=True), server_default=sa.text('clock_timestamp()'), nullable=False),
    sa.CheckConstraint('agreed_by <> asked_by', name=op.f('month_lock_second_person')),
    sa.CheckConstraint('extract(day from month) = 1', name=op.f('month_lock_month')),
    sa.ForeignKeyConstraint(['operator_id', 'request_id'], ['payments.book_request.operator_id', 'payments.book_request.id'], name='month_lock_request_fkey'),
    sa.ForeignKeyConstraint(['operator_id'], ['foundation.operator.id'], name=op.f('month_lock_operator_id_fkey')),
    sa.PrimaryKeyConstraint('operator_id', 'month', name=op.f('month_lock_pkey')),
    schema='payments',
    comment='insert-only: a lock without a key'
    )


def downgrade() -> None:
    op.execute('drop trigger if exists month_stays_closed on payments.book')
    op.drop_table('month_lock', schema='payments')
    op.drop_table('day_reopening', schema='payments')
    op.drop_index('book_request_open_key', table_name='book_request', schema='payments', postgresql_where=sa.text("state = 'requested'"))
    op.drop_table('book_request', schema='payments')
    op.drop_constraint('day_close_counts', 'day_close', schema='payments')
    op.create_check_constraint(op.f('day_close_counts'), 'day_close', 'journals >= 0 and turnover_vnd >= 0', schema='payments')
    op.drop_constraint('day_balance_day_fkey', 'day_balance', schema='payments', type_='foreignkey')
    for table, key in (('day_close', ['operator_id', 'day']), ('day_balance', ['operator_id', 'day', 'account'])):
        op.drop_constraint(f'{table}_pkey', table, schema='payments')
        op.create_primary_key(f'{table}_pkey', table, key, schema='payments')
        op.drop_column(table, 'number', schema='payments')
    op.create_foreign_key('day_balance_day_fkey', 'day_balance', 'day_close', ['operator_id', 'day'], ['operator_id', 'day'], source_schema='payments', referent_schema='payments')
    op.alter_column('book', 'closed_through', existing_type=sa.Date(), nullable=False, schema='payments')

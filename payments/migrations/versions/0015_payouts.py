"""Payouts

Revision ID: 0015
Revises: 0014
"""

from collections.abc import Sequence

import sqlalchemy as sa
import sqlmodel
from alembic import op

revision: str = '0015'
down_revision: str | Sequence[str] | None = '0014'
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table('payee_account',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('payee_id', sa.Uuid(), nullable=False),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.Column('bin', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('account', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('owner_name', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('contact', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('entered_by', sa.Uuid(), nullable=False),
    sa.Column('entered_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('agreed_by', sa.Uuid(), nullable=True),
    sa.Column('agreed_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('usable_from', sa.DateTime(timezone=True), nullable=True),
    sa.Column('told', sqlmodel.sql.sqltypes.AutoString(), nullable=True),
    sa.Column('withdrawn_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint("bin ~ '^[0-9]{6}$' and account ~ '^[0-9]{6,19}$'", name=op.f('payee_account_account')),
    sa.CheckConstraint('num_nulls(agreed_by, agreed_at, usable_from, told) in (0, 4)', name=op.f('payee_account_agreed')),
    sa.CheckConstraint('version > 0 and agreed_by <> entered_by', name=op.f('payee_account_second_person')),
    sa.CheckConstraint('withdrawn_at is null or agreed_at is null', name=op.f('payee_account_withdrawn')),
    sa.ForeignKeyConstraint(['operator_id', 'agreed_by'], ['foundation.staff.operator_id', 'foundation.staff.id'], name='payee_account_agreed_fkey'),
    sa.ForeignKeyConstraint(['operator_id', 'entered_by'], ['foundation.staff.operator_id', 'foundation.staff.id'], name='payee_account_entered_fkey'),
    sa.ForeignKeyConstraint(['operator_id', 'payee_id'], ['payments.payee.operator_id', 'payments.payee.id'], name='payee_account_payee_fkey'),
    sa.ForeignKeyConstraint(['operator_id'], ['foundation.operator.id'], name=op.f('payee_account_operator_id_fkey')),
    sa.PrimaryKeyConstraint('operator_id', 'payee_id', 'version', name=op.f('payee_account_pkey')),
    schema='payments'
    )
    op.create_index('payee_account_open_key', 'payee_account', ['operator_id', 'payee_id'], unique=True, schema='payments', postgresql_where=sa.text('agreed_at is null and withdrawn_at is null'))
    op.create_table('payout_run',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('up_to_day', sa.Date(), nullable=False),
    sa.Column('execute_on', sa.Date(), nullable=False),
    sa.Column('file', sa.LargeBinary(), nullable=False),
    sa.Column('digest', sa.LargeBinary(), nullable=False),
    sa.Column('made_by', sa.Uuid(), nullable=False),
    sa.Column('made_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('approved_by', sa.Uuid(), nullable=True),
    sa.Column('approved_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('looks', sa.Integer(), nullable=False),
    sa.Column('look_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint('approved_by <> made_by', name=op.f('payout_run_second_person')),
    sa.CheckConstraint('num_nulls(approved_by, approved_at) in (0, 2)', name=op.f('payout_run_approved')),
    sa.CheckConstraint('number > 0 and looks >= 0', name=op.f('payout_run_numbers')),
    sa.ForeignKeyConstraint(['operator_id', 'approved_by'], ['foundation.staff.operator_id', 'foundation.staff.id'], name='payout_run_approved_fkey'),
    sa.ForeignKeyConstraint(['operator_id', 'made_by'], ['foundation.staff.operator_id', 'foundation.staff.id'], name='payout_run_made_fkey'),
    sa.ForeignKeyConstraint(['operator_id'], ['foundation.operator.id'], name=op.f('payout_run_operator_id_fkey')),
    sa.PrimaryKeyConstraint('operator_id', 'id', name=op.f('payout_run_pkey')),
    sa.UniqueConstraint('operator_id', 'number', name='payout_run_number_key'),
    schema='payments'
    )
    op.create_index('payout_run_look_idx', 'payout_run', ['operator_id', 'look_at'], unique=False, schema='payments', postgresql_where=sa.text('look_at is not null'))
    op.create_table('payout',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('run_id', sa.Uuid(), nullable=False),
    sa.Column('payee_id', sa.Uuid(), nullable=False),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.Column('amount_vnd', sa.BigInteger(), nullable=False),
    sa.Column('debited_vnd', sa.BigInteger(), nullable=False),
    sa.Column('state', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('why', sqlmodel.sql.sqltypes.AutoString(), nullable=True),
    sa.Column('approved_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('left_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('ended_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint("state in ('draft', 'approved', 'asking', 'unknown', 'accepted', 'settled', 'rejected', 'returned', 'cancelled')", name=op.f('payout_state')),
    sa.CheckConstraint('amount_vnd > 0 and debited_vnd between 0 and amount_vnd', name=op.f('payout_amount')),
    sa.ForeignKeyConstraint(['operator_id', 'payee_id', 'version'], ['payments.payee_account.operator_id', 'payments.payee_account.payee_id', 'payments.payee_account.version'], name='payout_account_fkey'),
    sa.ForeignKeyConstraint(['operator_id', 'run_id'], ['payments.payout_run.operator_id', 'payments.payout_run.id'], name='payout_run_fkey'),
    sa.ForeignKeyConstraint(['operator_id'], ['foundation.operator.id'], name=op.f('payout_operator_id_fkey')),
    sa.PrimaryKeyConstraint('operator_id', 'id', name=op.f('payout_pkey')),
    sa.UniqueConstraint('operator_id', 'run_id', 'payee_id', name='payout_payee_key'),
    schema='payments'
    )
    op.create_table('payout_day',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('payout_id', sa.Uuid(), nullable=False),
    sa.Column('day', sa.Date(), nullable=False),
    sa.Column('payee_id', sa.Uuid(), nullable=False),
    sa.Column('net_vnd', sa.BigInteger(), nullable=False),
    sa.Column('released', sa.Boolean(), server_default='false', nullable=False),
    sa.ForeignKeyConstraint(['operator_id', 'day', 'payee_id'], ['payments.payee_statement.operator_id', 'payments.payee_statement.day', 'payments.payee_statement.payee_id'], name='payout_day_statement_fkey'),
    sa.ForeignKeyConstraint(['operator_id', 'payout_id'], ['payments.payout.operator_id', 'payments.payout.id'], name='payout_day_payout_fkey'),
    sa.ForeignKeyConstraint(['operator_id'], ['foundation.operator.id'], name=op.f('payout_day_operator_id_fkey')),
    sa.PrimaryKeyConstraint('operator_id', 'payout_id', 'day', name=op.f('payout_day_pkey')),
    schema='payments'
    )
    op.create_index('payout_day_once_key', 'payout_day', ['operator_id', 'payee_id', 'day'], unique=True, schema='payments', postgresql_where=sa.text('not released'))
    op.create_table('payout_entry',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('bank_account', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('bank_ref', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('payout_id', sa.Uuid(), nullable=False),
    sa.Column('amount_vnd', sa.BigInteger(), nullable=False),
    sa.Column('returns', sa.Boolean(), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint('amount_vnd > 0', name=op.f('payout_entry_amount')),
    sa.ForeignKeyConstraint(['operator_id', 'payout_id'], ['payments.payout.operator_id', 'payments.payout.id'], name='payout_entry_payout_fkey'),
    sa.ForeignKeyConstraint(['operator_id'], ['foundation.operator.id'], name=op.f('payout_entry_operator_id_fkey')),
    sa.PrimaryKeyConstraint('operator_id', 'bank_account', 'bank_ref', name=op.f('payout_entry_pkey')),
    schema='payments',
    comment="insert-only: what the bank's list says"
    )
    op.create_table('payout_event',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('payout_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('state', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('cause', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('staff_id', sa.Uuid(), nullable=True),
    sa.Column('why', sqlmodel.sql.sqltypes.AutoString(), nullable=True),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['operator_id', 'payout_id'], ['payments.payout.operator_id', 'payments.payout.id'], name='payout_event_payout_fkey'),
    sa.ForeignKeyConstraint(['operator_id'], ['foundation.operator.id'], name=op.f('payout_event_operator_id_fkey')),
    sa.PrimaryKeyConstraint('operator_id', 'payout_id', 'id', name=op.f('payout_event_pkey')),
    schema='payments',
    comment='insert-only: history'
    )
    for operator in op.get_bind().execute(sa.text("select id from foundation.operator")).scalars().all():
        op.execute(sa.text(f"select set_config('app.operator', '{operator}', true)"))
        op.execute(
            sa.text(
                "insert into payments.account (operator_id, code, kind, authorising)"
                f" values ('{operator}', 'payout_clearing', 'C', false) on conflict do nothing"
            )
        )


def downgrade() -> None:
    op.drop_table('payout_event', schema='payments')
    op.drop_table('payout_entry', schema='payments')
    op.drop_index('payout_day_once_key', table_name='payout_day', schema='payments', postgresql_where=sa.text('not released'))
    op.drop_table('payout_day', schema='payments')
    op.drop_table('payout', schema='payments')
    op.drop_index('payout_run_look_idx', table_name='payout_run', schema='payments', postgresql_where=sa.text('look_at is not null'))
    op.drop_table('payout_run', schema='payments')
    op.drop_index('payee_account_open_key', table_name='payee_account', schema='payments', postgresql_where=sa.text('agreed_at is null and withdrawn_at is null'))
    op.drop_table('payee_account', schema='payments')

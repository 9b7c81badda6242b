"""Money that left stands in suspense

Revision ID: 0012
Revises: 0011
"""

from collections.abc import Sequence

import sqlalchemy as sa
import sqlmodel
from alembic import op

revision: str = '0012'
down_revision: str | Sequence[str] | None = '0011'
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table('debit',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('bank_account', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('bank_ref', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('amount_vnd', sa.BigInteger(), nullable=False),
    sa.Column('left_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('kind', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('relates_to', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('settled_vnd', sa.BigInteger(), server_default='0', nullable=False),
    sa.Column('asked_way', sqlmodel.sql.sqltypes.AutoString(), nullable=True),
    sa.Column('asked_ref', sqlmodel.sql.sqltypes.AutoString(), nullable=True),
    sa.Column('asked_reason', sqlmodel.sql.sqltypes.AutoString(), nullable=True),
    sa.Column('asked_by', sa.Uuid(), nullable=True),
    sa.Column('asked_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('recorded_at', sa.DateTime(timezone=True), server_default=sa.text('clock_timestamp()'), nullable=False),
    sa.CheckConstraint("asked_way in ('charge', 'receipt', 'loss')", name=op.f('debit_asked_way')),
    sa.CheckConstraint('amount_vnd > 0', name=op.f('debit_amount')),
    sa.CheckConstraint('num_nulls(asked_way, asked_ref, asked_reason, asked_by, asked_at) in (0, 5) and (asked_by is null or settled_vnd < amount_vnd)', name=op.f('debit_asked')),
    sa.CheckConstraint('settled_vnd between 0 and amount_vnd', name=op.f('debit_settled')),
    sa.ForeignKeyConstraint(['operator_id', 'asked_by'], ['foundation.staff.operator_id', 'foundation.staff.id'], name='debit_asked_fkey'),
    sa.ForeignKeyConstraint(['operator_id'], ['foundation.operator.id'], name=op.f('debit_operator_id_fkey')),
    sa.PrimaryKeyConstraint('operator_id', 'id', name=op.f('debit_pkey')),
    sa.UniqueConstraint('operator_id', 'bank_account', 'bank_ref', name='debit_bank_ref_key'),
    schema='payments'
    )
    op.create_index('debit_open_idx', 'debit', ['operator_id', 'left_at'], unique=False, schema='payments', postgresql_where=sa.text('settled_vnd < amount_vnd'))
    op.create_table('debit_settled',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('debit_id', sa.Uuid(), nullable=False),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('way', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('amount_vnd', sa.BigInteger(), nullable=False),
    sa.Column('receipt_id', sa.Uuid(), nullable=True),
    sa.Column('use', sa.Integer(), nullable=True),
    sa.Column('staff_id', sa.Uuid(), nullable=False),
    sa.Column('agreed_by', sa.Uuid(), nullable=True),
    sa.Column('reason', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint("num_nulls(receipt_id, use) = case way when 'receipt' then 0 else 2 end", name=op.f('debit_settled_receipt')),
    sa.CheckConstraint("way in ('charge', 'receipt', 'loss')", name=op.f('debit_settled_way')),
    sa.CheckConstraint('agreed_by <> staff_id', name=op.f('debit_settled_second_person')),
    sa.CheckConstraint('amount_vnd > 0 and number > 0', name=op.f('debit_settled_amount')),
    sa.ForeignKeyConstraint(['operator_id', 'agreed_by'], ['foundation.staff.operator_id', 'foundation.staff.id'], name='debit_settled_agreed_fkey'),
    sa.ForeignKeyConstraint(['operator_id', 'debit_id'], ['payments.debit.operator_id', 'payments.debit.id'], name='debit_settled_debit_fkey'),
    sa.ForeignKeyConstraint(['operator_id', 'receipt_id', 'use'], ['payments.held_use.operator_id', 'payments.held_use.receipt_id', 'payments.held_use.number'], name='debit_settled_use_fkey'),
    sa.ForeignKeyConstraint(['operator_id', 'staff_id'], ['foundation.staff.operator_id', 'foundation.staff.id'], name='debit_settled_staff_fkey'),
    sa.ForeignKeyConstraint(['operator_id'], ['foundation.operator.id'], name=op.f('debit_settled_operator_id_fkey')),
    sa.PrimaryKeyConstraint('operator_id', 'debit_id', 'number', name=op.f('debit_settled_pkey')),
    schema='payments',
    comment='insert-only: what was decided'
    )
    op.drop_constraint(op.f('held_use_kind'), 'held_use', schema='payments')
    op.create_check_constraint(op.f('held_use_kind'), 'held_use', "kind in ('applied', 'proxy', 'deposit', 'debit')", schema='payments')
    # Every operator gets the accounts. A debit that was only parked is told of anew by a sweep of the bank's whole list.
    for operator in op.get_bind().execute(sa.text("select id from foundation.operator")).scalars().all():
        op.execute(sa.text(f"select set_config('app.operator', '{operator}', true)"))
        op.execute(
            sa.text(
                "insert into payments.account (operator_id, code, kind, authorising)"
                f" select '{operator}', code, kind, false"
                " from (values ('suspense', 'A'), ('bank_charges', 'E'), ('losses', 'E')) as a(code, kind)"
                " on conflict do nothing"
            )
        )
        op.execute("update payments.collection_account set swept_at = null")
    op.execute("delete from foundation.due where kind = 'payments.debit_unexpected'")


def downgrade() -> None:
    op.drop_constraint(op.f('held_use_kind'), 'held_use', schema='payments')
    op.create_check_constraint(op.f('held_use_kind'), 'held_use', "kind in ('applied', 'proxy', 'deposit')", schema='payments')
    op.drop_table('debit_settled', schema='payments')
    op.drop_index('debit_open_idx', table_name='debit', schema='payments', postgresql_where=sa.text('settled_vnd < amount_vnd'))
    op.drop_table('debit', schema='payments')

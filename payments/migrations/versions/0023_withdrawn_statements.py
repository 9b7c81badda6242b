"""Withdrawn statements

Revision ID: 0023
Revises: 0022
"""

from collections.abc import Sequence

import sqlalchemy as sa
import sqlmodel
from alembic import op

revision: str = '0023'
down_revision: str | Sequence[str] | None = '0022'
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


KIND = "kind in ('reopen', 'lock')"
MONTH = "kind = 'reopen' or extract(day from day) = 1"


def upgrade() -> None:
    op.create_table('statement_withdrawal',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('statement_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('request_id', sa.Uuid(), nullable=False),
    sa.Column('bank_account', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('day', sa.Date(), nullable=False),
    sa.Column('back_to', sa.Date(), nullable=True),
    sa.Column('asked_by', sa.Uuid(), nullable=False),
    sa.Column('agreed_by', sa.Uuid(), nullable=False),
    sa.Column('reason', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('undone', sa.BigInteger(), nullable=False),
    sa.Column('undone_vnd', sa.BigInteger(), nullable=False),
    sa.Column('alone', sa.BigInteger(), nullable=False),
    sa.Column('alone_vnd', sa.BigInteger(), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('recorded_at', sa.DateTime(timezone=True), server_default=sa.text('clock_timestamp()'), nullable=False),
    sa.CheckConstraint("agreed_by <> asked_by and reason <> ''", name=op.f('statement_withdrawal_second_person')),
    sa.CheckConstraint('undone >= 0 and alone >= 0 and back_to <= day', name=op.f('statement_withdrawal_counts')),
    sa.ForeignKeyConstraint(['operator_id', 'request_id'], ['payments.book_request.operator_id', 'payments.book_request.id'], name='statement_withdrawal_request_fkey'),
    sa.ForeignKeyConstraint(['operator_id', 'statement_id'], ['payments.bank_statement.operator_id', 'payments.bank_statement.id'], name='statement_withdrawal_statement_fkey'),
    sa.ForeignKeyConstraint(['operator_id'], ['foundation.operator.id'], name=op.f('statement_withdrawal_operator_id_fkey')),
    sa.PrimaryKeyConstraint('operator_id', 'statement_id', name=op.f('statement_withdrawal_pkey')),
    schema='payments',
    comment='insert-only: history'
    )
    op.add_column('bank_statement', sa.Column('first_day', sa.Date(), nullable=True), schema='payments')
    op.add_column('book_request', sa.Column('statement_id', sa.Uuid(), nullable=True), schema='payments')
    op.drop_index('book_request_open_key', table_name='book_request', schema='payments', postgresql_where=sa.text("state = 'requested'"))
    op.create_index('book_request_open_key', 'book_request', ['operator_id', 'kind', 'day', 'statement_id'], unique=True, schema='payments', postgresql_where=sa.text("state = 'requested'"), postgresql_nulls_not_distinct=True)
    for name, check in (('kind', "kind in ('reopen', 'lock', 'withdraw')"), ('month', "kind <> 'lock' or extract(day from day) = 1")):
        op.drop_constraint(f'book_request_{name}', 'book_request', schema='payments')
        op.create_check_constraint(op.f(f'book_request_{name}'), 'book_request', check, schema='payments')
    op.create_check_constraint(op.f('book_request_statement'), 'book_request', "(kind = 'withdraw') = (statement_id is not null)", schema='payments')
    op.create_foreign_key('book_request_statement_fkey', 'book_request', 'bank_statement', ['operator_id', 'statement_id'], ['operator_id', 'id'], source_schema='payments', referent_schema='payments')
    op.add_column('open_item', sa.Column('told_by', sa.Uuid(), nullable=True), schema='payments')


def downgrade() -> None:
    op.drop_column('open_item', 'told_by', schema='payments')
    op.drop_table('statement_withdrawal', schema='payments')
    for operator in op.get_bind().execute(sa.text("select id from foundation.operator")).scalars().all():
        op.execute(sa.text(f"select set_config('app.operator', '{operator}', true)"))
        op.execute(sa.text("delete from payments.book_request where kind = 'withdraw'"))
    op.drop_constraint('book_request_statement_fkey', 'book_request', schema='payments', type_='foreignkey')
    op.drop_constraint('book_request_statement', 'book_request', schema='payments')
    for name, check in (('kind', KIND), ('month', MONTH)):
        op.drop_constraint(f'book_request_{name}', 'book_request', schema='payments')
        op.create_check_constraint(op.f(f'book_request_{name}'), 'book_request', check, schema='payments')
    op.drop_index('book_request_open_key', table_name='book_request', schema='payments', postgresql_where=sa.text("state = 'requested'"), postgresql_nulls_not_distinct=True)
    op.create_index('book_request_open_key', 'book_request', ['operator_id', 'kind', 'day'], unique=True, schema='payments', postgresql_where=sa.text("state = 'requested'"))
    op.drop_column('book_request', 'statement_id', schema='payments')
    op.drop_column('bank_statement', 'first_day', schema='payments')

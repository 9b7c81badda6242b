"""Names that take two

Revision ID: 0022
Revises: 0021
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = '0022'
down_revision: str | Sequence[str] | None = '0021'
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

OLD, NEW = 'write_off_ask', 'matching_ask'
FILLED = ('operator_id', 'id', 'items', 'reason', 'asked_by', 'asked_at')
CONSTRAINTS = (
    *('pkey', 'operator_id_fkey', 'asked_fkey', 'decided_fkey', 'decided', 'second_person'),
    *(f'{name}_not_null' for name in FILLED),
)


def upgrade() -> None:
    op.rename_table(OLD, NEW, schema='payments')
    for name in CONSTRAINTS:
        op.execute(f'alter table payments.{NEW} rename constraint {OLD}_{name} to {NEW}_{name}')
    op.drop_constraint(op.f(f'{OLD}_difference'), NEW, schema='payments', type_='check')
    op.alter_column(NEW, 'difference_vnd', new_column_name='amount_vnd', schema='payments')
    op.execute(f'alter table payments.{NEW} rename constraint {OLD}_difference_vnd_not_null to {NEW}_amount_vnd_not_null')
    op.alter_column(NEW, 'difference', nullable=True, schema='payments')
    op.add_column(NEW, sa.Column('name', sa.String(), nullable=True), schema='payments')
    op.create_check_constraint(
        op.f(f'{NEW}_what'),
        NEW,
        "coalesce(difference in ('fee', 'rounding', 'shortage', 'interest'),"
        " name in ('bank_asked', 'payer_asked', 'dispute', 'next_statement', 'other'))",
        schema='payments',
    )
    op.create_check_constraint(op.f(f'{NEW}_one'), NEW, 'num_nulls(difference, name) = 1', schema='payments')


def downgrade() -> None:
    op.drop_constraint(op.f(f'{NEW}_one'), NEW, schema='payments', type_='check')
    op.drop_constraint(op.f(f'{NEW}_what'), NEW, schema='payments', type_='check')
    op.drop_column(NEW, 'name', schema='payments')
    op.alter_column(NEW, 'difference', nullable=False, schema='payments')
    op.execute(f'alter table payments.{NEW} rename constraint {NEW}_amount_vnd_not_null to {OLD}_difference_vnd_not_null')
    op.alter_column(NEW, 'amount_vnd', new_column_name='difference_vnd', schema='payments')
    op.rename_table(NEW, OLD, schema='payments')
    for name in CONSTRAINTS:
        op.execute(f'alter table payments.{OLD} rename constraint {NEW}_{name} to {OLD}_{name}')
    op.create_check_constraint(
        op.f(f'{OLD}_difference'),
        OLD,
        "difference in ('fee', 'rounding', 'shortage', 'interest')",
        schema='payments',
    )

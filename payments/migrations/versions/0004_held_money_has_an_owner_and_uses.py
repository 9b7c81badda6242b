"""Held money has an owner and uses

Revision ID: 0004
Revises: 0003
"""

from collections.abc import Sequence

import sqlalchemy as sa
import sqlmodel
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = '0004'
down_revision: str | Sequence[str] | None = '0003'
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table('held_use',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('receipt_id', sa.Uuid(), nullable=False),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('kind', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('amount_vnd', sa.BigInteger(), nullable=False),
    sa.Column('charge_id', sa.Uuid(), nullable=False),
    sa.Column('staff_id', sa.Uuid(), nullable=False),
    sa.Column('reason', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint("kind = 'applied'", name=op.f('held_use_kind')),
    sa.CheckConstraint('amount_vnd > 0 and number > 0', name=op.f('held_use_amount')),
    sa.ForeignKeyConstraint(['operator_id', 'charge_id'], ['payments.charge.operator_id', 'payments.charge.id'], name='held_use_charge_fkey'),
    sa.ForeignKeyConstraint(['operator_id', 'receipt_id'], ['payments.held.operator_id', 'payments.held.receipt_id'], name='held_use_held_fkey'),
    sa.ForeignKeyConstraint(['operator_id', 'staff_id'], ['foundation.staff.operator_id', 'foundation.staff.id'], name='held_use_staff_fkey'),
    sa.ForeignKeyConstraint(['operator_id'], ['foundation.operator.id'], name=op.f('held_use_operator_id_fkey')),
    sa.PrimaryKeyConstraint('operator_id', 'receipt_id', 'number', name=op.f('held_use_pkey')),
    schema='payments',
    comment='insert-only: what was decided'
    )
    op.add_column('charge', sa.Column('topup_until', sa.DateTime(timezone=True), nullable=True), schema='payments')
    op.create_index('charge_topup_idx', 'charge', ['operator_id', 'topup_until'], unique=False, schema='payments', postgresql_where=sa.text("state = 'partial'"))
    op.add_column('held', sa.Column('used_vnd', sa.BigInteger(), server_default='0', nullable=False), schema='payments')
    op.add_column('held', sa.Column('owner_id', sa.Uuid(), nullable=True), schema='payments')
    op.create_index('charge_line_thing_idx', 'charge_line', ['operator_id', 'reference'], unique=False, schema='payments')
    op.create_index('held_charge_idx', 'held', ['operator_id', 'charge_id'], unique=False, schema='payments')
    op.create_foreign_key('held_owner_fkey', 'held', 'staff', ['operator_id', 'owner_id'], ['operator_id', 'id'], source_schema='payments', referent_schema='foundation')
    op.add_column('receipt', sa.Column('references_like', sa.ARRAY(sa.Text()), server_default='{}', nullable=False), schema='payments')
    op.add_column('receipt_outcome', sa.Column('late', sa.Boolean(), server_default='false', nullable=False), schema='payments')
    op.drop_constraint(op.f('charge_state'), 'charge', schema='payments')
    op.create_check_constraint(
        op.f('charge_state'), 'charge', "state in ('open', 'partial', 'paid', 'refused', 'lapsed')", schema='payments'
    )
    # Part payments of before get a day from now; each operator's rows are his own, also for the owner of the tables.
    for operator in op.get_bind().execute(sa.text("select id from foundation.operator")).scalars().all():
        op.execute(sa.text(f"select set_config('app.operator', '{operator}', true)"))
        op.execute("update payments.charge set topup_until = now() + interval '1 day' where state = 'partial'")
    op.create_check_constraint(
        op.f('charge_topup'), 'charge', "(state = 'partial') = (topup_until is not null)", schema='payments'
    )
    op.create_check_constraint(op.f('held_used'), 'held', 'used_vnd between 0 and amount_vnd', schema='payments')
    op.create_check_constraint(
        op.f('held_closed'), 'held', '(closed_at is null) = (used_vnd < amount_vnd)', schema='payments'
    )
    op.add_column(
        'receipt_outcome', sa.Column('policy', sa.Integer(), server_default='1', nullable=False), schema='payments'
    )


def downgrade() -> None:
    op.drop_column('receipt_outcome', 'policy', schema='payments')
    op.drop_index('charge_line_thing_idx', table_name='charge_line', schema='payments')
    op.drop_constraint(op.f('held_closed'), 'held', schema='payments')
    op.drop_constraint(op.f('held_used'), 'held', schema='payments')
    op.drop_constraint(op.f('charge_topup'), 'charge', schema='payments')
    op.drop_constraint(op.f('charge_state'), 'charge', schema='payments')
    op.create_check_constraint(
        op.f('charge_state'), 'charge', "state in ('open', 'partial', 'paid', 'refused')", schema='payments'
    )
    op.drop_column('receipt_outcome', 'late', schema='payments')
    op.drop_column('receipt', 'references_like', schema='payments')
    op.drop_constraint('held_owner_fkey', 'held', schema='payments', type_='foreignkey')
    op.drop_index('held_charge_idx', table_name='held', schema='payments')
    op.drop_column('held', 'owner_id', schema='payments')
    op.drop_column('held', 'used_vnd', schema='payments')
    op.drop_index('charge_topup_idx', table_name='charge', schema='payments', postgresql_where=sa.text("state = 'partial'"))
    op.drop_column('charge', 'topup_until', schema='payments')
    op.drop_table('held_use', schema='payments')

"""Cash is bounded

Revision ID: 0010
Revises: 0009
"""

from collections.abc import Sequence

import sqlalchemy as sa
import sqlmodel
from alembic import op

revision: str = '0010'
down_revision: str | Sequence[str] | None = '0009'
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


SHORT = (
    ('short_vnd', sa.BigInteger()),
    ('short_reason', sqlmodel.sql.sqltypes.AutoString()),
    ('short_asked_by', sa.Uuid()),
    ('short_asked_at', sa.DateTime(timezone=True)),
    ('short_agreed_by', sa.Uuid()),
    ('short_agreed_at', sa.DateTime(timezone=True)),
)


def upgrade() -> None:
    op.create_check_constraint(op.f('shift_closed_by_another'), 'shift', 'closed_by is distinct from staff_id', schema='payments')

    op.add_column('cash_refund', sa.Column('used', sa.Boolean(), server_default='false', nullable=False), schema='payments')
    op.create_check_constraint(op.f('cash_refund_in_notes'), 'cash_refund', 'amount_vnd % 1000 = 0', schema='payments')
    op.create_check_constraint(op.f('cash_refund_used_signed'), 'cash_refund', 'not used or approved_by is not null', schema='payments')

    op.add_column('cash_refund', sa.Column('proxy_vnd', sa.BigInteger(), server_default='0', nullable=False), schema='payments')
    op.create_check_constraint(op.f('cash_refund_proxy'), 'cash_refund', 'proxy_vnd between 0 and amount_vnd', schema='payments')
    op.add_column('proxy_transfer', sa.Column('released_vnd', sa.BigInteger(), server_default='0', nullable=False), schema='payments')
    op.drop_constraint(op.f('proxy_transfer_received'), 'proxy_transfer', schema='payments')
    op.create_check_constraint(
        op.f('proxy_transfer_received'),
        'proxy_transfer',
        'received_vnd >= 0 and released_vnd >= 0 and received_vnd + released_vnd <= amount_vnd',
        schema='payments',
    )

    op.add_column('shift', sa.Column('voids', sa.Integer(), server_default='0', nullable=False), schema='payments')
    op.add_column('shift', sa.Column('drops_refused', sa.Integer(), server_default='0', nullable=False), schema='payments')
    op.create_check_constraint(op.f('shift_voids'), 'shift', 'voids between 0 and 3', schema='payments')

    for name, type_ in SHORT:
        op.add_column('deposit', sa.Column(name, type_, nullable=True), schema='payments')
    op.create_foreign_key('deposit_asker_fkey', 'deposit', 'staff', ['operator_id', 'short_asked_by'], ['operator_id', 'id'], source_schema='payments', referent_schema='foundation')
    op.create_foreign_key('deposit_agreer_fkey', 'deposit', 'staff', ['operator_id', 'short_agreed_by'], ['operator_id', 'id'], source_schema='payments', referent_schema='foundation')
    op.create_check_constraint(op.f('deposit_short_asked'), 'deposit', 'num_nulls(short_vnd, short_reason, short_asked_by, short_asked_at) in (0, 4) and short_vnd > 0', schema='payments')
    op.create_check_constraint(op.f('deposit_short_agreed'), 'deposit', 'num_nulls(short_agreed_by, short_agreed_at) in (0, 2) and (short_agreed_at is null or coalesce(arrived_vnd + short_vnd = amount_vnd, false))', schema='payments')
    op.create_check_constraint(op.f('deposit_short_second_person'), 'deposit', 'short_agreed_by not in (short_asked_by, made_by)', schema='payments')


def downgrade() -> None:
    for check in ('second_person', 'agreed', 'asked'):
        op.drop_constraint(op.f(f'deposit_short_{check}'), 'deposit', schema='payments')
    op.drop_constraint('deposit_agreer_fkey', 'deposit', schema='payments', type_='foreignkey')
    op.drop_constraint('deposit_asker_fkey', 'deposit', schema='payments', type_='foreignkey')
    for name, _ in SHORT:
        op.drop_column('deposit', name, schema='payments')
    op.drop_constraint(op.f('shift_voids'), 'shift', schema='payments')
    op.drop_column('shift', 'drops_refused', schema='payments')
    op.drop_column('shift', 'voids', schema='payments')
    op.drop_constraint(op.f('proxy_transfer_received'), 'proxy_transfer', schema='payments')
    op.create_check_constraint(op.f('proxy_transfer_received'), 'proxy_transfer', 'received_vnd between 0 and amount_vnd', schema='payments')
    op.drop_column('proxy_transfer', 'released_vnd', schema='payments')
    op.drop_constraint(op.f('cash_refund_proxy'), 'cash_refund', schema='payments')
    op.drop_column('cash_refund', 'proxy_vnd', schema='payments')
    op.drop_constraint(op.f('cash_refund_used_signed'), 'cash_refund', schema='payments')
    op.drop_constraint(op.f('cash_refund_in_notes'), 'cash_refund', schema='payments')
    op.drop_column('cash_refund', 'used', schema='payments')
    op.drop_constraint(op.f('shift_closed_by_another'), 'shift', schema='payments')

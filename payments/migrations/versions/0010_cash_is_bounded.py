"""Cash is bounded

Revision ID: 0010
Revises: 0009
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = '0010'
down_revision: str | Sequence[str] | None = '0009'
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


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


def downgrade() -> None:
    op.drop_constraint(op.f('proxy_transfer_received'), 'proxy_transfer', schema='payments')
    op.create_check_constraint(op.f('proxy_transfer_received'), 'proxy_transfer', 'received_vnd between 0 and amount_vnd', schema='payments')
    op.drop_column('proxy_transfer', 'released_vnd', schema='payments')
    op.drop_constraint(op.f('cash_refund_proxy'), 'cash_refund', schema='payments')
    op.drop_column('cash_refund', 'proxy_vnd', schema='payments')
    op.drop_constraint(op.f('cash_refund_used_signed'), 'cash_refund', schema='payments')
    op.drop_constraint(op.f('cash_refund_in_notes'), 'cash_refund', schema='payments')
    op.drop_column('cash_refund', 'used', schema='payments')
    op.drop_constraint(op.f('shift_closed_by_another'), 'shift', schema='payments')

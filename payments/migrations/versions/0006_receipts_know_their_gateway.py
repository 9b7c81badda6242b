"""Receipts know their gateway

Revision ID: 0006
Revises: 0005
"""

from collections.abc import Sequence

import sqlalchemy as sa
import sqlmodel
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = '0006'
down_revision: str | Sequence[str] | None = '0005'
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column('charge', sa.Column('given_back_vnd', sa.BigInteger(), server_default='0', nullable=False), schema='payments')
    op.add_column('receipt', sa.Column('gateway', sqlmodel.sql.sqltypes.AutoString(), server_default='bank', nullable=False), schema='payments')
    op.add_column('receipt', sa.Column('means', sqlmodel.sql.sqltypes.AutoString(), server_default='QR_TRANSFER', nullable=False), schema='payments')
    op.add_column('receipt', sa.Column('facts', postgresql.JSONB(astext_type=sa.Text()), server_default='{}', nullable=False), schema='payments')
    op.create_check_constraint(op.f('charge_given_back'), 'charge', 'given_back_vnd between 0 and received_vnd', schema='payments')
    op.create_check_constraint(op.f('receipt_means'), 'receipt', "means in ('QR_TRANSFER', 'WALLET', 'CARD', 'ETC_ACCOUNT')", schema='payments')
    # Every operator gets the account that money on its way back stands on.
    for operator in op.get_bind().execute(sa.text("select id from foundation.operator")).scalars().all():
        op.execute(sa.text(f"select set_config('app.operator', '{operator}', true)"))
        op.execute(
            sa.text(
                "insert into payments.account (operator_id, code, kind, authorising)"
                f" values ('{operator}', 'refund_clearing', 'C', false) on conflict do nothing"
            )
        )


def downgrade() -> None:
    op.drop_column('receipt', 'facts', schema='payments')
    op.drop_column('receipt', 'means', schema='payments')
    op.drop_column('receipt', 'gateway', schema='payments')
    op.drop_column('charge', 'given_back_vnd', schema='payments')

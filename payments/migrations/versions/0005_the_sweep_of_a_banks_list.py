"""The sweep of a bank's list

Revision ID: 0005
Revises: 0004
"""

from collections.abc import Sequence

import sqlalchemy as sa
import sqlmodel
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = '0005'
down_revision: str | Sequence[str] | None = '0004'
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column('collection_account', sa.Column('swept_at', sa.DateTime(timezone=True), nullable=True), schema='payments')


def downgrade() -> None:
    op.drop_column('collection_account', 'swept_at', schema='payments')

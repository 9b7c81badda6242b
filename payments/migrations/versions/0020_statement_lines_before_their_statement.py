"""Statement lines before their statement

Revision ID: 0020
Revises: 0019
"""

from collections.abc import Sequence

from alembic import op

revision: str = '0020'
down_revision: str | Sequence[str] | None = '0019'
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.drop_constraint('statement_line_statement_fkey', 'statement_line', schema='payments', type_='foreignkey')
    op.drop_constraint('statement_text_statement_fkey', 'statement_text', schema='payments', type_='foreignkey')
    op.create_index('receipt_paid_idx', 'receipt', ['paid_at'], unique=False, schema='payments', postgresql_using='brin')


def downgrade() -> None:
    op.drop_index('receipt_paid_idx', table_name='receipt', schema='payments', postgresql_using='brin')
    for table in ('statement_line', 'statement_text'):
        op.create_foreign_key(f'{table}_statement_fkey', table, 'bank_statement', ['operator_id', 'statement_id'], ['operator_id', 'id'], source_schema='payments', referent_schema='payments')

"""Bank lines known by their reference; cheaper checks and a narrower key of a claim; room for what a run says anew of open items

Revision ID: 0024
Revises: 0023
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = '0024'
down_revision: str | Sequence[str] | None = '0023'
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.drop_constraint('statement_line_identity_key', 'statement_line', schema='payments', type_='unique')
    op.alter_column('statement_line', 'identity', existing_type=sa.Uuid(), nullable=True, schema='payments')
    # The lines that there are as well; written anew, as no row of theirs may be changed.
    op.execute("alter table payments.statement_line alter identity type uuid using case when bank_ref = '' then identity end")
    op.create_index('statement_line_identity_key', 'statement_line', ['operator_id', 'identity'], unique=True, schema='payments', postgresql_where=sa.text("bank_ref = ''"))
    op.create_index('statement_line_ref_key', 'statement_line', ['operator_id', 'bank_ref', 'amount_vnd', 'part', 'bank_account', 'identity'], unique=True, schema='payments', postgresql_where=sa.text("bank_ref <> ''"), postgresql_nulls_not_distinct=True)
    op.create_check_constraint(op.f('statement_line_known_by'), 'statement_line', "bank_ref <> '' or identity is not null", schema='payments')
    op.drop_constraint(op.f('claim_line'), 'claim', schema='payments', type_='check')
    op.create_check_constraint(op.f('claim_line'), 'claim', '(statement_id is null) = (position is null) and (position is null) = (line_vnd = 0)', schema='payments')
    op.drop_constraint('claim_pkey', 'claim', schema='payments', type_='primary')
    op.create_primary_key('claim_pkey', 'claim', ['operator_id', 'movement_id', 'kind'], schema='payments')
    op.drop_constraint(op.f('open_item_operator_id_fkey'), 'open_item', schema='payments', type_='foreignkey')
    op.execute('alter table payments.open_item set (fillfactor = 70)')


def downgrade() -> None:
    op.execute('alter table payments.open_item reset (fillfactor)')
    op.create_foreign_key(op.f('open_item_operator_id_fkey'), 'open_item', 'operator', ['operator_id'], ['id'], source_schema='payments', referent_schema='foundation')
    op.drop_constraint('claim_pkey', 'claim', schema='payments', type_='primary')
    op.create_primary_key('claim_pkey', 'claim', ['operator_id', 'kind', 'movement_id'], schema='payments')
    op.drop_constraint(op.f('claim_line'), 'claim', schema='payments', type_='check')
    op.create_check_constraint(op.f('claim_line'), 'claim', 'num_nulls(statement_id, position) in (0, 2) and (position is null) = (line_vnd = 0)', schema='payments')
    op.drop_constraint(op.f('statement_line_known_by'), 'statement_line', schema='payments', type_='check')
    op.drop_index('statement_line_ref_key', table_name='statement_line', schema='payments')
    op.drop_index('statement_line_identity_key', table_name='statement_line', schema='payments')
    op.execute("alter table payments.statement_line alter identity type uuid using coalesce(identity, md5(concat_ws('|', bank_account, bank_ref, part, amount_vnd))::uuid)")
    op.alter_column('statement_line', 'identity', existing_type=sa.Uuid(), nullable=False, schema='payments')
    op.create_unique_constraint('statement_line_identity_key', 'statement_line', ['operator_id', 'identity'], schema='payments')

"""Bank statements, and what of them is matched

Revision ID: 0016
Revises: 0015
"""

from collections.abc import Sequence

import sqlalchemy as sa
import sqlmodel
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = '0016'
down_revision: str | Sequence[str] | None = '0015'
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table('suggestion',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('rule', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('score', sa.Integer(), nullable=False),
    sa.Column('days', sa.Integer(), nullable=False),
    sa.Column('difference_vnd', sa.BigInteger(), nullable=False),
    sa.Column('ambiguous', sa.Boolean(), nullable=False),
    sa.CheckConstraint('score between 1 and 100', name=op.f('suggestion_score')),
    sa.ForeignKeyConstraint(['operator_id'], ['foundation.operator.id'], name=op.f('suggestion_operator_id_fkey')),
    sa.PrimaryKeyConstraint('operator_id', 'id', name=op.f('suggestion_pkey')),
    schema='payments'
    )
    op.create_table('matching_event',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('act', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('staff_id', sa.Uuid(), nullable=True),
    sa.Column('agreed_by', sa.Uuid(), nullable=True),
    sa.Column('reason', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('lines', sa.BigInteger(), nullable=False),
    sa.Column('sum_vnd', sa.BigInteger(), nullable=False),
    sa.Column('facts', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('digest', sa.LargeBinary(), nullable=True),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint("act in ('run', 'accepted', 'matched', 'written_off', 'booked', 'named', 'undone') and (staff_id is null or act <> 'run')", name=op.f('matching_event_act')),
    sa.CheckConstraint('agreed_by <> staff_id', name=op.f('matching_event_second_person')),
    sa.ForeignKeyConstraint(['operator_id', 'agreed_by'], ['foundation.staff.operator_id', 'foundation.staff.id'], name='matching_event_agreed_fkey'),
    sa.ForeignKeyConstraint(['operator_id', 'staff_id'], ['foundation.staff.operator_id', 'foundation.staff.id'], name='matching_event_staff_fkey'),
    sa.ForeignKeyConstraint(['operator_id'], ['foundation.operator.id'], name=op.f('matching_event_operator_id_fkey')),
    sa.PrimaryKeyConstraint('operator_id', 'id', name=op.f('matching_event_pkey')),
    schema='payments',
    comment='insert-only: history'
    )
    op.create_index('matching_event_at_idx', 'matching_event', ['operator_id', 'at', 'id'], unique=False, schema='payments')
    op.create_table('open_item',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('side', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('statement_id', sa.Uuid(), nullable=True),
    sa.Column('position', sa.Integer(), nullable=True),
    sa.Column('kind', sqlmodel.sql.sqltypes.AutoString(), nullable=True),
    sa.Column('movement_id', sa.Uuid(), nullable=True),
    sa.Column('bank_account', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('bank_ref', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('amount_vnd', sa.BigInteger(), nullable=False),
    sa.Column('day', sa.Date(), nullable=False),
    sa.Column('since', sa.DateTime(timezone=True), nullable=False),
    sa.Column('sealed', sa.LargeBinary(), nullable=True),
    sa.Column('codes', postgresql.JSONB(astext_type=sa.Text()), server_default='[]', nullable=False),
    sa.Column('state', sqlmodel.sql.sqltypes.AutoString(), server_default='unmatched', nullable=False),
    sa.Column('score', sa.Integer(), server_default='0', nullable=False),
    sa.Column('name', sqlmodel.sql.sqltypes.AutoString(), nullable=True),
    sa.Column('note', sqlmodel.sql.sqltypes.AutoString(), server_default='', nullable=False),
    sa.Column('named_by', sa.Uuid(), nullable=True),
    sa.Column('named_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint("name in ('bank_asked', 'payer_asked', 'dispute', 'next_statement', 'other') and num_nulls(name, named_by, named_at) in (0, 3)", name=op.f('open_item_name')),
    sa.CheckConstraint("side in ('line', 'movement') and num_nulls(statement_id, position) = case side when 'line' then 0 else 2 end and num_nulls(kind, movement_id) = case side when 'line' then 2 else 0 end", name=op.f('open_item_side')),
    sa.CheckConstraint("state in ('unmatched', 'suggested', 'ambiguous', 'differs')", name=op.f('open_item_state')),
    sa.ForeignKeyConstraint(['operator_id', 'named_by'], ['foundation.staff.operator_id', 'foundation.staff.id'], name='open_item_named_fkey'),
    sa.ForeignKeyConstraint(['operator_id'], ['foundation.operator.id'], name=op.f('open_item_operator_id_fkey')),
    sa.PrimaryKeyConstraint('operator_id', 'id', name=op.f('open_item_pkey')),
    sa.UniqueConstraint('operator_id', 'kind', 'movement_id', name='open_item_movement_key'),
    sa.UniqueConstraint('operator_id', 'statement_id', 'position', name='open_item_line_key'),
    schema='payments'
    )
    op.create_index('open_item_list_idx', 'open_item', ['operator_id', 'side', 'day', 'id'], unique=False, schema='payments')
    op.create_table('statement_file',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('sha256', sa.LargeBinary(), nullable=False),
    sa.Column('name', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('size_bytes', sa.BigInteger(), nullable=False),
    sa.Column('source', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('loaded_by', sa.Uuid(), nullable=True),
    sa.Column('loaded_at', sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint("source in ('upload', 'bank') and (loaded_by is null) = (source = 'bank')", name=op.f('statement_file_source')),
    sa.CheckConstraint('length(sha256) = 32 and size_bytes > 0', name=op.f('statement_file_content')),
    sa.ForeignKeyConstraint(['operator_id', 'loaded_by'], ['foundation.staff.operator_id', 'foundation.staff.id'], name='statement_file_loaded_fkey'),
    sa.ForeignKeyConstraint(['operator_id'], ['foundation.operator.id'], name=op.f('statement_file_operator_id_fkey')),
    sa.PrimaryKeyConstraint('operator_id', 'id', name=op.f('statement_file_pkey')),
    sa.UniqueConstraint('operator_id', 'sha256', name='statement_file_sha256_key'),
    schema='payments',
    comment='insert-only: what was given in'
    )
    op.create_table('suggestion_item',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('suggestion_id', sa.Uuid(), nullable=False),
    sa.Column('item_id', sa.Uuid(), nullable=False),
    sa.ForeignKeyConstraint(['operator_id', 'suggestion_id'], ['payments.suggestion.operator_id', 'payments.suggestion.id'], name='suggestion_item_suggestion_fkey'),
    sa.PrimaryKeyConstraint('operator_id', 'suggestion_id', 'item_id', name=op.f('suggestion_item_pkey')),
    schema='payments'
    )
    op.create_index('suggestion_item_item_idx', 'suggestion_item', ['operator_id', 'item_id'], unique=False, schema='payments')
    op.create_table('write_off_ask',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('items', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('difference', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('difference_vnd', sa.BigInteger(), nullable=False),
    sa.Column('reason', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('asked_by', sa.Uuid(), nullable=False),
    sa.Column('asked_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('decided_by', sa.Uuid(), nullable=True),
    sa.Column('decided_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('agreed', sa.Boolean(), nullable=True),
    sa.CheckConstraint("difference in ('fee', 'rounding', 'shortage', 'interest')", name=op.f('write_off_ask_difference')),
    sa.CheckConstraint('not agreed or decided_by <> asked_by', name=op.f('write_off_ask_second_person')),
    sa.CheckConstraint('num_nulls(decided_by, decided_at, agreed) in (0, 3)', name=op.f('write_off_ask_decided')),
    sa.ForeignKeyConstraint(['operator_id', 'asked_by'], ['foundation.staff.operator_id', 'foundation.staff.id'], name='write_off_ask_asked_fkey'),
    sa.ForeignKeyConstraint(['operator_id', 'decided_by'], ['foundation.staff.operator_id', 'foundation.staff.id'], name='write_off_ask_decided_fkey'),
    sa.ForeignKeyConstraint(['operator_id'], ['foundation.operator.id'], name=op.f('write_off_ask_operator_id_fkey')),
    sa.PrimaryKeyConstraint('operator_id', 'id', name=op.f('write_off_ask_pkey')),
    schema='payments'
    )
    op.create_table('bank_statement',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('file_id', sa.Uuid(), nullable=False),
    sa.Column('bank_account', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('said_id', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('said_number', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('page', sa.Integer(), nullable=False),
    sa.Column('day', sa.Date(), nullable=True),
    sa.Column('opening_vnd', sa.BigInteger(), nullable=True),
    sa.Column('closing_vnd', sa.BigInteger(), nullable=True),
    sa.Column('credits', sa.Integer(), nullable=False),
    sa.Column('credits_vnd', sa.BigInteger(), nullable=False),
    sa.Column('debits', sa.Integer(), nullable=False),
    sa.Column('debits_vnd', sa.BigInteger(), nullable=False),
    sa.Column('lines', sa.Integer(), nullable=False),
    sa.Column('state', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('why', sqlmodel.sql.sqltypes.AutoString(), nullable=True),
    sa.Column('facts', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('remarks', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint("(why is not null) = (state = 'quarantined')", name=op.f('bank_statement_why')),
    sa.CheckConstraint("lines = 0 or lines > 0 and state = 'accepted'", name=op.f('bank_statement_lines')),
    sa.CheckConstraint("state = 'quarantined' or num_nulls(day, opening_vnd, closing_vnd) = 0", name=op.f('bank_statement_balances')),
    sa.CheckConstraint("state in ('accepted', 'known', 'quarantined')", name=op.f('bank_statement_state')),
    sa.ForeignKeyConstraint(['operator_id', 'file_id'], ['payments.statement_file.operator_id', 'payments.statement_file.id'], name='bank_statement_file_fkey'),
    sa.ForeignKeyConstraint(['operator_id'], ['foundation.operator.id'], name=op.f('bank_statement_operator_id_fkey')),
    sa.PrimaryKeyConstraint('operator_id', 'id', name=op.f('bank_statement_pkey')),
    schema='payments',
    comment='insert-only: what the bank said'
    )
    op.create_index('bank_statement_chain_idx', 'bank_statement', ['operator_id', 'bank_account', 'day', 'id'], unique=False, schema='payments', postgresql_where=sa.text("state = 'accepted'"))
    op.create_table('claim',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('kind', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('movement_id', sa.Uuid(), nullable=False),
    sa.Column('statement_id', sa.Uuid(), nullable=True),
    sa.Column('position', sa.Integer(), nullable=True),
    sa.Column('match_id', sa.Uuid(), nullable=True),
    sa.Column('event_id', sa.Uuid(), nullable=False),
    sa.Column('bank_account', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('line_vnd', sa.BigInteger(), nullable=False),
    sa.Column('moved_vnd', sa.BigInteger(), nullable=False),
    sa.Column('effective_day', sa.Date(), nullable=False),
    sa.CheckConstraint("(kind = 'none') = (moved_vnd = 0)", name=op.f('claim_movement')),
    sa.CheckConstraint("kind <> 'none' or position is not null", name=op.f('claim_something')),
    sa.CheckConstraint('num_nulls(statement_id, position) in (0, 2) and (position is null) = (line_vnd = 0)', name=op.f('claim_line')),
    sa.PrimaryKeyConstraint('operator_id', 'kind', 'movement_id', name=op.f('claim_pkey')),
    sa.UniqueConstraint('operator_id', 'statement_id', 'position', name='claim_line_key'),
    schema='payments'
    )
    op.create_index('claim_day_idx', 'claim', ['effective_day'], unique=False, schema='payments', postgresql_using='brin')
    op.create_index('claim_match_idx', 'claim', ['operator_id', 'match_id'], unique=False, schema='payments', postgresql_where=sa.text('match_id is not null'))
    op.create_table('matched_statement',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('statement_id', sa.Uuid(), nullable=False),
    sa.Column('event_id', sa.Uuid(), nullable=False),
    sa.ForeignKeyConstraint(['operator_id', 'event_id'], ['payments.matching_event.operator_id', 'payments.matching_event.id'], name='matched_statement_event_fkey'),
    sa.ForeignKeyConstraint(['operator_id', 'statement_id'], ['payments.bank_statement.operator_id', 'payments.bank_statement.id'], name='matched_statement_statement_fkey'),
    sa.PrimaryKeyConstraint('operator_id', 'statement_id', name=op.f('matched_statement_pkey')),
    schema='payments',
    comment='insert-only: history'
    )
    op.create_table('matched_sum',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('event_id', sa.Uuid(), nullable=False),
    sa.Column('template', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('account', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('day', sa.Date(), nullable=False),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('amount_vnd', sa.BigInteger(), nullable=False),
    sa.Column('effective_at', sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint("template in ('line.credit', 'line.debit', 'line.less', 'line.more')", name=op.f('matched_sum_template')),
    sa.CheckConstraint('amount_vnd > 0 and number > 0', name=op.f('matched_sum_amount')),
    sa.ForeignKeyConstraint(['operator_id', 'event_id'], ['payments.matching_event.operator_id', 'payments.matching_event.id'], name='matched_sum_event_fkey'),
    sa.PrimaryKeyConstraint('operator_id', 'event_id', 'template', 'account', 'day', 'number', name=op.f('matched_sum_pkey')),
    schema='payments',
    comment='insert-only: history'
    )
    op.create_table('statement_line',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('statement_id', sa.Uuid(), nullable=False),
    sa.Column('position', sa.Integer(), nullable=False),
    sa.Column('bank_account', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('bank_ref', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('part', sa.Integer(), nullable=False),
    sa.Column('amount_vnd', sa.BigInteger(), nullable=False),
    sa.Column('day', sa.Date(), nullable=False),
    sa.Column('booked_day', sa.Date(), nullable=False),
    sa.Column('value_day', sa.Date(), nullable=False),
    sa.Column('is_reversal', sa.Boolean(), nullable=False),
    sa.Column('identity', sa.Uuid(), nullable=False),
    sa.Column('end_to_end_id', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.CheckConstraint('amount_vnd <> 0 and part >= 0 and position >= 0', name=op.f('statement_line_amount')),
    sa.ForeignKeyConstraint(['operator_id', 'statement_id'], ['payments.bank_statement.operator_id', 'payments.bank_statement.id'], name='statement_line_statement_fkey'),
    sa.PrimaryKeyConstraint('operator_id', 'statement_id', 'position', name=op.f('statement_line_pkey')),
    sa.UniqueConstraint('operator_id', 'identity', name='statement_line_identity_key'),
    schema='payments',
    comment='insert-only: what the bank said'
    )
    op.create_table('statement_text',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('statement_id', sa.Uuid(), nullable=False),
    sa.Column('block', sa.Integer(), nullable=False),
    sa.Column('sealed', sa.LargeBinary(), nullable=False),
    sa.ForeignKeyConstraint(['operator_id', 'statement_id'], ['payments.bank_statement.operator_id', 'payments.bank_statement.id'], name='statement_text_statement_fkey'),
    sa.PrimaryKeyConstraint('operator_id', 'statement_id', 'block', name=op.f('statement_text_pkey')),
    schema='payments',
    comment='insert-only: what the bank said'
    )
    op.add_column('collection_account', sa.Column('statement_at', sa.DateTime(timezone=True), nullable=True), schema='payments')
    for operator in op.get_bind().execute(sa.text("select id from foundation.operator")).scalars().all():
        op.execute(sa.text(f"select set_config('app.operator', '{operator}', true)"))
        op.execute(
            sa.text(
                "insert into payments.account (operator_id, code, kind, authorising)"
                f" values ('{operator}', 'rounding', 'E', false), ('{operator}', 'bank_interest', 'I', false)"
                " on conflict do nothing"
            )
        )


def downgrade() -> None:
    op.drop_table('statement_text', schema='payments')
    op.drop_table('statement_line', schema='payments')
    op.drop_table('matched_sum', schema='payments')
    op.drop_table('matched_statement', schema='payments')
    op.drop_index('claim_day_idx', table_name='claim', schema='payments', postgresql_using='brin')
    op.drop_index('claim_match_idx', table_name='claim', schema='payments', postgresql_where=sa.text('match_id is not null'))
    op.drop_table('claim', schema='payments')
    op.drop_index('bank_statement_chain_idx', table_name='bank_statement', schema='payments', postgresql_where=sa.text("state = 'accepted'"))
    op.drop_table('bank_statement', schema='payments')
    op.drop_table('write_off_ask', schema='payments')
    op.drop_index('suggestion_item_item_idx', table_name='suggestion_item', schema='payments')
    op.drop_table('suggestion_item', schema='payments')
    op.drop_table('statement_file', schema='payments')
    op.drop_index('open_item_list_idx', table_name='open_item', schema='payments')
    op.drop_table('open_item', schema='payments')
    op.drop_index('matching_event_at_idx', table_name='matching_event', schema='payments')
    op.drop_table('matching_event', schema='payments')
    op.drop_table('suggestion', schema='payments')
    op.drop_column('collection_account', 'statement_at', schema='payments')

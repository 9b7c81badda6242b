"""Receipts and invoices

Revision ID: 0019
Revises: 0018
"""

from collections.abc import Sequence

import sqlalchemy as sa
import sqlmodel
from alembic import op

revision: str = '0019'
down_revision: str | Sequence[str] | None = '0018'
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table('fiscal_series',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('kind', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('form', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('symbol', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('last_number', sa.BigInteger(), nullable=False),
    sa.CheckConstraint("form ~ '^[0-9A-Z][0-9A-Z/-]{0,10}$' and symbol ~ '^[0-9A-Z][0-9A-Z/-]{1,14}$'", name=op.f('fiscal_series_symbol')),
    sa.CheckConstraint("kind in ('receipt', 'invoice')", name=op.f('fiscal_series_kind')),
    sa.CheckConstraint('last_number >= 0', name=op.f('fiscal_series_last_number')),
    sa.ForeignKeyConstraint(['operator_id'], ['foundation.operator.id'], name=op.f('fiscal_series_operator_id_fkey')),
    sa.PrimaryKeyConstraint('operator_id', 'id', name=op.f('fiscal_series_pkey')),
    sa.UniqueConstraint('operator_id', 'form', 'symbol', name='fiscal_series_symbol_key'),
    schema='payments'
    )
    op.create_table('fiscal_buyer',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('charge_id', sa.Uuid(), nullable=False),
    sa.Column('sealed', sa.LargeBinary(), nullable=False),
    sa.Column('tag', sa.LargeBinary(), nullable=False),
    sa.Column('staff_id', sa.Uuid(), nullable=True),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['operator_id', 'charge_id'], ['payments.charge.operator_id', 'payments.charge.id'], name='fiscal_buyer_charge_fkey'),
    sa.ForeignKeyConstraint(['operator_id'], ['foundation.operator.id'], name=op.f('fiscal_buyer_operator_id_fkey')),
    sa.PrimaryKeyConstraint('operator_id', 'id', name=op.f('fiscal_buyer_pkey')),
    schema='payments',
    comment='insert-only: what a payer said'
    )
    op.create_index('fiscal_buyer_charge_idx', 'fiscal_buyer', ['operator_id', 'charge_id'], unique=False, schema='payments')
    op.create_table('fiscal_term',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('service', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('valid_from', sa.Date(), nullable=False),
    sa.Column('series_id', sa.Uuid(), nullable=False),
    sa.Column('vat_bp', sa.Integer(), nullable=False),
    sa.Column('added_by', sa.Uuid(), nullable=False),
    sa.Column('added_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('withdrawn_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint("service in ('ticketing', 'parking')", name=op.f('fiscal_term_service')),
    sa.CheckConstraint('vat_bp between 0 and 5000', name=op.f('fiscal_term_vat')),
    sa.ForeignKeyConstraint(['operator_id', 'added_by'], ['foundation.staff.operator_id', 'foundation.staff.id'], name='fiscal_term_added_fkey'),
    sa.ForeignKeyConstraint(['operator_id', 'series_id'], ['payments.fiscal_series.operator_id', 'payments.fiscal_series.id'], name='fiscal_term_series_fkey'),
    sa.ForeignKeyConstraint(['operator_id'], ['foundation.operator.id'], name=op.f('fiscal_term_operator_id_fkey')),
    sa.PrimaryKeyConstraint('operator_id', 'id', name=op.f('fiscal_term_pkey')),
    schema='payments'
    )
    op.create_index('fiscal_term_from_key', 'fiscal_term', ['operator_id', 'service', 'valid_from'], unique=True, schema='payments', postgresql_where=sa.text('withdrawn_at is null'))
    op.create_table('fiscal_document',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('series_id', sa.Uuid(), nullable=False),
    sa.Column('number', sa.BigInteger(), nullable=False),
    sa.Column('charge_id', sa.Uuid(), nullable=False),
    sa.Column('line_no', sa.Integer(), nullable=False),
    sa.Column('item', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('amount_vnd', sa.BigInteger(), nullable=False),
    sa.Column('vat_bp', sa.Integer(), nullable=False),
    sa.Column('vat_vnd', sa.BigInteger(), nullable=False),
    sa.Column('buyer_id', sa.Uuid(), nullable=True),
    sa.Column('replaces', sa.Uuid(), nullable=True),
    sa.Column('code', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('sold_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('issued_at', sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint('number > 0 and amount_vnd > 0', name=op.f('fiscal_document_amount')),
    sa.CheckConstraint('vat_bp between 0 and 5000 and vat_vnd between 0 and amount_vnd', name=op.f('fiscal_document_vat')),
    sa.ForeignKeyConstraint(['operator_id', 'buyer_id'], ['payments.fiscal_buyer.operator_id', 'payments.fiscal_buyer.id'], name='fiscal_document_buyer_fkey'),
    sa.ForeignKeyConstraint(['operator_id', 'charge_id', 'line_no'], ['payments.line_paid.operator_id', 'payments.line_paid.charge_id', 'payments.line_paid.line_no'], name='fiscal_document_line_fkey'),
    sa.ForeignKeyConstraint(['operator_id', 'series_id'], ['payments.fiscal_series.operator_id', 'payments.fiscal_series.id'], name='fiscal_document_series_fkey'),
    sa.ForeignKeyConstraint(['operator_id'], ['foundation.operator.id'], name=op.f('fiscal_document_operator_id_fkey')),
    sa.PrimaryKeyConstraint('operator_id', 'id', name=op.f('fiscal_document_pkey')),
    sa.UniqueConstraint('operator_id', 'code', name='fiscal_document_code_key'),
    sa.UniqueConstraint('operator_id', 'replaces', name='fiscal_document_replaces_key'),
    sa.UniqueConstraint('operator_id', 'series_id', 'number', name='fiscal_document_number_key'),
    schema='payments',
    comment='insert-only: a document is cancelled or replaced, never changed'
    )
    op.create_index('fiscal_document_first_key', 'fiscal_document', ['operator_id', 'charge_id', 'line_no'], unique=True, schema='payments', postgresql_where=sa.text('replaces is null'))
    op.create_index('fiscal_document_issued_idx', 'fiscal_document', ['operator_id', 'issued_at'], unique=False, schema='payments')
    op.create_index('fiscal_document_line_idx', 'fiscal_document', ['operator_id', 'charge_id', 'line_no'], unique=False, schema='payments')
    op.create_table('fiscal_end',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('document_id', sa.Uuid(), nullable=False),
    sa.Column('cause', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('reason', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('staff_id', sa.Uuid(), nullable=True),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint("(cause = 'mended') = (staff_id is not null)", name=op.f('fiscal_end_by_hand')),
    sa.CheckConstraint("cause in ('given_back', 'buyer', 'mended')", name=op.f('fiscal_end_cause')),
    sa.ForeignKeyConstraint(['operator_id', 'document_id'], ['payments.fiscal_document.operator_id', 'payments.fiscal_document.id'], name='fiscal_end_document_fkey'),
    sa.ForeignKeyConstraint(['operator_id', 'staff_id'], ['foundation.staff.operator_id', 'foundation.staff.id'], name='fiscal_end_staff_fkey'),
    sa.ForeignKeyConstraint(['operator_id'], ['foundation.operator.id'], name=op.f('fiscal_end_operator_id_fkey')),
    sa.PrimaryKeyConstraint('operator_id', 'document_id', name=op.f('fiscal_end_pkey')),
    schema='payments',
    comment='insert-only: a document ends once'
    )
    # A document names the end of the one in whose place it stands, an end its document.
    op.create_foreign_key('fiscal_document_replaces_fkey', 'fiscal_document', 'fiscal_end', ['operator_id', 'replaces'], ['operator_id', 'document_id'], source_schema='payments', referent_schema='payments')
    op.create_table('fiscal_sending',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('document_id', sa.Uuid(), nullable=False),
    sa.Column('what', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('series_id', sa.Uuid(), nullable=False),
    sa.Column('number', sa.BigInteger(), nullable=False),
    sa.Column('state', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('tax_code', sqlmodel.sql.sqltypes.AutoString(), nullable=True),
    sa.Column('why', sqlmodel.sql.sqltypes.AutoString(), nullable=True),
    sa.Column('tries', sa.Integer(), server_default='0', nullable=False),
    sa.Column('ended_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint("(state = 'rejected') = (why is not null)", name=op.f('fiscal_sending_why')),
    sa.CheckConstraint("state in ('waiting', 'asking', 'accepted', 'rejected')", name=op.f('fiscal_sending_state')),
    sa.CheckConstraint("what in ('issue', 'cancel')", name=op.f('fiscal_sending_what')),
    sa.ForeignKeyConstraint(['operator_id', 'document_id'], ['payments.fiscal_document.operator_id', 'payments.fiscal_document.id'], name='fiscal_sending_document_fkey'),
    sa.ForeignKeyConstraint(['operator_id'], ['foundation.operator.id'], name=op.f('fiscal_sending_operator_id_fkey')),
    sa.PrimaryKeyConstraint('operator_id', 'document_id', 'what', name=op.f('fiscal_sending_pkey')),
    schema='payments'
    )
    op.create_index('fiscal_sending_open_idx', 'fiscal_sending', ['operator_id', 'series_id', 'number', 'what'], unique=False, schema='payments', postgresql_where=sa.text("state in ('waiting', 'asking')"))
    op.create_index('fiscal_sending_rejected_idx', 'fiscal_sending', ['operator_id', 'document_id'], unique=False, schema='payments', postgresql_where=sa.text("state = 'rejected'"))
    op.add_column('charge', sa.Column('documented_vnd', sa.BigInteger(), server_default='0', nullable=False), schema='payments')
    op.create_index('charge_undocumented_idx', 'charge', ['operator_id', 'paid_at'], unique=False, schema='payments', postgresql_where=sa.text("state = 'paid' and documented_vnd <> received_vnd - given_back_vnd"))


def downgrade() -> None:
    op.drop_index('charge_undocumented_idx', table_name='charge', schema='payments', postgresql_where=sa.text("state = 'paid' and documented_vnd <> received_vnd - given_back_vnd"))
    op.drop_column('charge', 'documented_vnd', schema='payments')
    op.drop_index('fiscal_sending_rejected_idx', table_name='fiscal_sending', schema='payments', postgresql_where=sa.text("state = 'rejected'"))
    op.drop_index('fiscal_sending_open_idx', table_name='fiscal_sending', schema='payments', postgresql_where=sa.text("state in ('waiting', 'asking')"))
    op.drop_table('fiscal_sending', schema='payments')
    op.drop_constraint('fiscal_document_replaces_fkey', 'fiscal_document', schema='payments', type_='foreignkey')
    op.drop_table('fiscal_end', schema='payments')
    op.drop_index('fiscal_document_line_idx', table_name='fiscal_document', schema='payments')
    op.drop_index('fiscal_document_issued_idx', table_name='fiscal_document', schema='payments')
    op.drop_index('fiscal_document_first_key', table_name='fiscal_document', schema='payments', postgresql_where=sa.text('replaces is null'))
    op.drop_table('fiscal_document', schema='payments')
    op.drop_index('fiscal_term_from_key', table_name='fiscal_term', schema='payments', postgresql_where=sa.text('withdrawn_at is null'))
    op.drop_table('fiscal_term', schema='payments')
    op.drop_index('fiscal_buyer_charge_idx', table_name='fiscal_buyer', schema='payments')
    op.drop_table('fiscal_buyer', schema='payments')
    op.drop_table('fiscal_series', schema='payments')

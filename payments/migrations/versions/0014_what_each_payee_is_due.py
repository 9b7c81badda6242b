"""What each payee is due

Revision ID: 0014
Revises: 0013
"""

from collections.abc import Sequence

import sqlalchemy as sa
import sqlmodel
from alembic import op

revision: str = '0014'
down_revision: str | Sequence[str] | None = '0013'
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table('payee',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('kind', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('name_vi', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('name_en', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('tax_code', sqlmodel.sql.sqltypes.AutoString(), nullable=True),
    sa.Column('treasury', sqlmodel.sql.sqltypes.AutoString(), nullable=True),
    sa.Column('budget_line', sqlmodel.sql.sqltypes.AutoString(), nullable=True),
    sa.Column('added_at', sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint("(kind = 'city_budget') = (treasury is not null)", name=op.f('payee_treasury')),
    sa.CheckConstraint("kind in ('operator', 'authority', 'city_budget', 'platform')", name=op.f('payee_kind')),
    sa.CheckConstraint('num_nulls(treasury, budget_line) in (0, 2)', name=op.f('payee_budget_line')),
    sa.ForeignKeyConstraint(['operator_id'], ['foundation.operator.id'], name=op.f('payee_operator_id_fkey')),
    sa.PrimaryKeyConstraint('operator_id', 'id', name=op.f('payee_pkey')),
    schema='payments',
    comment='insert-only: a payee never becomes another'
    )
    op.create_index('payee_one_key', 'payee', ['operator_id', 'kind'], unique=True, schema='payments', postgresql_where=sa.text("kind in ('operator', 'platform')"))
    op.create_table('settlement',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('day', sa.Date(), nullable=False),
    sa.Column('journals', sa.BigInteger(), nullable=False),
    sa.Column('sold_vnd', sa.BigInteger(), nullable=False),
    sa.Column('given_back_vnd', sa.BigInteger(), nullable=False),
    sa.Column('open_from', sa.Date(), nullable=False),
    sa.Column('digest', sa.LargeBinary(), nullable=False),
    sa.Column('made_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('recorded_at', sa.DateTime(timezone=True), server_default=sa.text('clock_timestamp()'), nullable=False),
    sa.CheckConstraint('sold_vnd >= 0 and given_back_vnd >= 0 and journals >= 0', name=op.f('settlement_amounts')),
    sa.ForeignKeyConstraint(['operator_id'], ['foundation.operator.id'], name=op.f('settlement_operator_id_fkey')),
    sa.PrimaryKeyConstraint('operator_id', 'day', name=op.f('settlement_pkey')),
    schema='payments',
    comment='insert-only: a settled day stands'
    )
    op.create_table('contract',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('service', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('valid_from', sa.Date(), nullable=False),
    sa.Column('paper', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('vat_bp', sa.Integer(), nullable=False),
    sa.Column('fee_vat_bp', sa.Integer(), nullable=False),
    sa.Column('fees_returned', sa.Boolean(), nullable=False),
    sa.Column('hold_back_bp', sa.Integer(), nullable=False),
    sa.Column('hold_back_days', sa.Integer(), nullable=False),
    sa.Column('due_days', sa.Integer(), nullable=False),
    sa.Column('proposed_by', sa.Uuid(), nullable=False),
    sa.Column('proposed_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('agreed_by', sa.Uuid(), nullable=True),
    sa.Column('agreed_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('withdrawn_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint("service in ('ticketing', 'parking')", name=op.f('contract_service')),
    sa.CheckConstraint('(hold_back_bp > 0) = (hold_back_days > 0)', name=op.f('contract_hold_back_days')),
    sa.CheckConstraint('agreed_at is null or withdrawn_at is null', name=op.f('contract_withdrawn')),
    sa.CheckConstraint('agreed_by <> proposed_by', name=op.f('contract_second_person')),
    sa.CheckConstraint('due_days between 1 and 30', name=op.f('contract_due')),
    sa.CheckConstraint('hold_back_bp between 0 and 5000', name=op.f('contract_hold_back')),
    sa.CheckConstraint('num_nulls(agreed_by, agreed_at) in (0, 2)', name=op.f('contract_agreed')),
    sa.CheckConstraint('vat_bp between 0 and 5000 and fee_vat_bp between 0 and 5000', name=op.f('contract_vat')),
    sa.ForeignKeyConstraint(['operator_id', 'agreed_by'], ['foundation.staff.operator_id', 'foundation.staff.id'], name='contract_agreed_fkey'),
    sa.ForeignKeyConstraint(['operator_id', 'proposed_by'], ['foundation.staff.operator_id', 'foundation.staff.id'], name='contract_proposed_fkey'),
    sa.ForeignKeyConstraint(['operator_id'], ['foundation.operator.id'], name=op.f('contract_operator_id_fkey')),
    sa.PrimaryKeyConstraint('operator_id', 'id', name=op.f('contract_pkey')),
    schema='payments'
    )
    op.create_index('contract_from_key', 'contract', ['operator_id', 'service', 'valid_from'], unique=True, schema='payments', postgresql_where=sa.text('agreed_at is not null'))
    op.create_table('payee_statement',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('day', sa.Date(), nullable=False),
    sa.Column('payee_id', sa.Uuid(), nullable=False),
    sa.Column('carried_vnd', sa.BigInteger(), nullable=False),
    sa.Column('gross_vnd', sa.BigInteger(), nullable=False),
    sa.Column('refunds_vnd', sa.BigInteger(), nullable=False),
    sa.Column('fees_vnd', sa.BigInteger(), nullable=False),
    sa.Column('adjustments_vnd', sa.BigInteger(), nullable=False),
    sa.Column('reserve_vnd', sa.BigInteger(), nullable=False),
    sa.Column('net_vnd', sa.BigInteger(), nullable=False),
    sa.Column('due_on', sa.Date(), nullable=False),
    sa.CheckConstraint('due_on > day', name=op.f('payee_statement_due')),
    sa.CheckConstraint('gross_vnd >= 0 and refunds_vnd >= 0', name=op.f('payee_statement_amounts')),
    sa.CheckConstraint('net_vnd = gross_vnd - refunds_vnd - fees_vnd + adjustments_vnd - reserve_vnd', name=op.f('payee_statement_net')),
    sa.ForeignKeyConstraint(['operator_id', 'day'], ['payments.settlement.operator_id', 'payments.settlement.day'], name='payee_statement_day_fkey'),
    sa.ForeignKeyConstraint(['operator_id', 'payee_id'], ['payments.payee.operator_id', 'payments.payee.id'], name='payee_statement_payee_fkey'),
    sa.ForeignKeyConstraint(['operator_id'], ['foundation.operator.id'], name=op.f('payee_statement_operator_id_fkey')),
    sa.PrimaryKeyConstraint('operator_id', 'day', 'payee_id', name=op.f('payee_statement_pkey')),
    schema='payments',
    comment='insert-only: a settled day stands'
    )
    op.create_table('settlement_journal',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('journal_id', sa.Uuid(), nullable=False),
    sa.Column('day', sa.Date(), nullable=False),
    sa.Column('charge_id', sa.Uuid(), nullable=False),
    sa.Column('amount_vnd', sa.BigInteger(), nullable=False),
    sa.CheckConstraint('amount_vnd <> 0', name=op.f('settlement_journal_amount')),
    sa.ForeignKeyConstraint(['operator_id', 'day'], ['payments.settlement.operator_id', 'payments.settlement.day'], name='settlement_journal_day_fkey'),
    sa.ForeignKeyConstraint(['operator_id', 'journal_id'], ['payments.journal.operator_id', 'payments.journal.id'], name='settlement_journal_journal_fkey'),
    sa.PrimaryKeyConstraint('operator_id', 'journal_id', name=op.f('settlement_journal_pkey')),
    schema='payments',
    comment='insert-only: in one settlement only'
    )
    op.create_index('settlement_journal_charge_idx', 'settlement_journal', ['operator_id', 'charge_id'], unique=False, schema='payments')
    op.create_index('settlement_journal_day_idx', 'settlement_journal', ['operator_id', 'day'], unique=False, schema='payments')
    op.create_table('contract_fee',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('contract_id', sa.Uuid(), nullable=False),
    sa.Column('means', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('fee_bp', sa.Integer(), nullable=False),
    sa.Column('fee_vnd', sa.BigInteger(), nullable=False),
    sa.CheckConstraint("means in ('CASH', 'QR_TRANSFER', 'WALLET', 'CARD', 'ETC_ACCOUNT')", name=op.f('contract_fee_means')),
    sa.CheckConstraint('fee_bp between 0 and 10000 and fee_vnd between 0 and 1000000', name=op.f('contract_fee_amounts')),
    sa.ForeignKeyConstraint(['operator_id', 'contract_id'], ['payments.contract.operator_id', 'payments.contract.id'], name='contract_fee_contract_fkey'),
    sa.ForeignKeyConstraint(['operator_id'], ['foundation.operator.id'], name=op.f('contract_fee_operator_id_fkey')),
    sa.PrimaryKeyConstraint('operator_id', 'contract_id', 'means', name=op.f('contract_fee_pkey')),
    schema='payments',
    comment='insert-only: terms'
    )
    op.create_table('contract_part',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('contract_id', sa.Uuid(), nullable=False),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('payee_id', sa.Uuid(), nullable=False),
    sa.Column('sum_vnd', sa.BigInteger(), nullable=False),
    sa.Column('share_bp', sa.Integer(), nullable=False),
    sa.CheckConstraint('(sum_vnd > 0) <> (share_bp > 0)', name=op.f('contract_part_one_way')),
    sa.CheckConstraint('sum_vnd between 0 and 499999999 and share_bp between 0 and 10000', name=op.f('contract_part_amounts')),
    sa.ForeignKeyConstraint(['operator_id', 'contract_id'], ['payments.contract.operator_id', 'payments.contract.id'], name='contract_part_contract_fkey'),
    sa.ForeignKeyConstraint(['operator_id', 'payee_id'], ['payments.payee.operator_id', 'payments.payee.id'], name='contract_part_payee_fkey'),
    sa.ForeignKeyConstraint(['operator_id'], ['foundation.operator.id'], name=op.f('contract_part_operator_id_fkey')),
    sa.PrimaryKeyConstraint('operator_id', 'contract_id', 'number', name=op.f('contract_part_pkey')),
    schema='payments',
    comment='insert-only: terms'
    )
    op.create_table('contract_rent',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('contract_id', sa.Uuid(), nullable=False),
    sa.Column('place', sa.Integer(), nullable=False),
    sa.Column('payee_id', sa.Uuid(), nullable=False),
    sa.Column('area_m2', sa.Integer(), nullable=False),
    sa.Column('vnd_per_m2_month', sa.BigInteger(), nullable=False),
    sa.Column('due_day', sa.Integer(), nullable=False),
    sa.CheckConstraint('area_m2 between 1 and 1000000', name=op.f('contract_rent_area')),
    sa.CheckConstraint('due_day between 1 and 28', name=op.f('contract_rent_due_day')),
    sa.CheckConstraint('vnd_per_m2_month between 1 and 10000000', name=op.f('contract_rent_price')),
    sa.ForeignKeyConstraint(['operator_id', 'contract_id'], ['payments.contract.operator_id', 'payments.contract.id'], name='contract_rent_contract_fkey'),
    sa.ForeignKeyConstraint(['operator_id', 'payee_id'], ['payments.payee.operator_id', 'payments.payee.id'], name='contract_rent_payee_fkey'),
    sa.ForeignKeyConstraint(['operator_id', 'place'], ['foundation.place.operator_id', 'foundation.place.number'], name='contract_rent_place_fkey'),
    sa.ForeignKeyConstraint(['operator_id'], ['foundation.operator.id'], name=op.f('contract_rent_operator_id_fkey')),
    sa.PrimaryKeyConstraint('operator_id', 'contract_id', 'place', name=op.f('contract_rent_pkey')),
    schema='payments',
    comment='insert-only: terms'
    )
    op.create_table('held_back',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('day', sa.Date(), nullable=False),
    sa.Column('contract_id', sa.Uuid(), nullable=False),
    sa.Column('payee_id', sa.Uuid(), nullable=False),
    sa.Column('amount_vnd', sa.BigInteger(), nullable=False),
    sa.Column('release_on', sa.Date(), nullable=False),
    sa.Column('released_with', sa.Date(), nullable=True),
    sa.CheckConstraint('amount_vnd > 0 and release_on > day and released_with >= release_on', name=op.f('held_back_release')),
    sa.ForeignKeyConstraint(['operator_id', 'contract_id'], ['payments.contract.operator_id', 'payments.contract.id'], name='held_back_contract_fkey'),
    sa.ForeignKeyConstraint(['operator_id', 'day', 'payee_id'], ['payments.payee_statement.operator_id', 'payments.payee_statement.day', 'payments.payee_statement.payee_id'], name='held_back_statement_fkey'),
    sa.ForeignKeyConstraint(['operator_id'], ['foundation.operator.id'], name=op.f('held_back_operator_id_fkey')),
    sa.PrimaryKeyConstraint('operator_id', 'day', 'contract_id', name=op.f('held_back_pkey')),
    schema='payments'
    )
    op.create_index('held_back_open_idx', 'held_back', ['operator_id', 'release_on'], unique=False, schema='payments', postgresql_where=sa.text('released_with is null'))
    op.create_table('settlement_item',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('journal_id', sa.Uuid(), nullable=False),
    sa.Column('line_no', sa.Integer(), nullable=False),
    sa.Column('payee_id', sa.Uuid(), nullable=False),
    sa.Column('kind', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('day', sa.Date(), nullable=False),
    sa.Column('charge_id', sa.Uuid(), nullable=False),
    sa.Column('contract_id', sa.Uuid(), nullable=False),
    sa.Column('amount_vnd', sa.BigInteger(), nullable=False),
    sa.Column('vat_vnd', sa.BigInteger(), nullable=False),
    sa.CheckConstraint("kind in ('sum', 'vat', 'share', 'fee')", name=op.f('settlement_item_kind')),
    sa.CheckConstraint('amount_vnd <> 0 and abs(vat_vnd) <= abs(amount_vnd)', name=op.f('settlement_item_amounts')),
    sa.ForeignKeyConstraint(['operator_id', 'contract_id'], ['payments.contract.operator_id', 'payments.contract.id'], name='settlement_item_contract_fkey'),
    sa.ForeignKeyConstraint(['operator_id', 'journal_id'], ['payments.settlement_journal.operator_id', 'payments.settlement_journal.journal_id'], name='settlement_item_journal_fkey'),
    sa.ForeignKeyConstraint(['operator_id', 'payee_id'], ['payments.payee.operator_id', 'payments.payee.id'], name='settlement_item_payee_fkey'),
    sa.PrimaryKeyConstraint('operator_id', 'journal_id', 'line_no', 'payee_id', 'kind', name=op.f('settlement_item_pkey')),
    schema='payments',
    comment='insert-only: what was divided'
    )
    op.create_index('settlement_item_charge_idx', 'settlement_item', ['operator_id', 'charge_id'], unique=False, schema='payments')
    op.create_index('settlement_item_day_idx', 'settlement_item', ['operator_id', 'day', 'payee_id'], unique=False, schema='payments')
    op.create_table('due_item',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('contract_id', sa.Uuid(), nullable=False),
    sa.Column('place', sa.Integer(), nullable=False),
    sa.Column('month', sa.Date(), nullable=False),
    sa.Column('payee_id', sa.Uuid(), nullable=False),
    sa.Column('area_m2', sa.Integer(), nullable=False),
    sa.Column('days', sa.Integer(), nullable=False),
    sa.Column('amount_vnd', sa.BigInteger(), nullable=False),
    sa.Column('netted_vnd', sa.BigInteger(), server_default='0', nullable=False),
    sa.Column('due_on', sa.Date(), nullable=False),
    sa.Column('made_at', sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint('amount_vnd > 0 and netted_vnd between 0 and amount_vnd', name=op.f('due_item_amounts')),
    sa.CheckConstraint('extract(day from month) = 1 and due_on > month', name=op.f('due_item_days')),
    sa.ForeignKeyConstraint(['operator_id', 'contract_id', 'place'], ['payments.contract_rent.operator_id', 'payments.contract_rent.contract_id', 'payments.contract_rent.place'], name='due_item_rent_fkey'),
    sa.ForeignKeyConstraint(['operator_id', 'payee_id'], ['payments.payee.operator_id', 'payments.payee.id'], name='due_item_payee_fkey'),
    sa.ForeignKeyConstraint(['operator_id'], ['foundation.operator.id'], name=op.f('due_item_operator_id_fkey')),
    sa.PrimaryKeyConstraint('operator_id', 'id', name=op.f('due_item_pkey')),
    sa.UniqueConstraint('operator_id', 'contract_id', 'place', 'month', name='due_item_month_key'),
    schema='payments'
    )
    op.create_index('due_item_open_idx', 'due_item', ['operator_id', 'due_on'], unique=False, schema='payments', postgresql_where=sa.text('netted_vnd < amount_vnd'))
    op.create_table('payee_adjustment',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('day', sa.Date(), nullable=False),
    sa.Column('payee_id', sa.Uuid(), nullable=False),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('kind', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('amount_vnd', sa.BigInteger(), nullable=False),
    sa.Column('level_vnd', sa.BigInteger(), nullable=True),
    sa.Column('due_item_id', sa.Uuid(), nullable=True),
    sa.CheckConstraint("(kind = 'rent') = (due_item_id is not null) and (kind = 'rent') = (level_vnd is null)", name=op.f('payee_adjustment_of')),
    sa.CheckConstraint("kind in ('notes', 'short', 'bank', 'rent')", name=op.f('payee_adjustment_kind')),
    sa.CheckConstraint('amount_vnd <> 0', name=op.f('payee_adjustment_amount')),
    sa.ForeignKeyConstraint(['operator_id', 'day', 'payee_id'], ['payments.payee_statement.operator_id', 'payments.payee_statement.day', 'payments.payee_statement.payee_id'], name='payee_adjustment_statement_fkey'),
    sa.ForeignKeyConstraint(['operator_id', 'due_item_id'], ['payments.due_item.operator_id', 'payments.due_item.id'], name='payee_adjustment_due_fkey'),
    sa.ForeignKeyConstraint(['operator_id'], ['foundation.operator.id'], name=op.f('payee_adjustment_operator_id_fkey')),
    sa.PrimaryKeyConstraint('operator_id', 'day', 'payee_id', 'number', name=op.f('payee_adjustment_pkey')),
    schema='payments',
    comment='insert-only: a settled day stands'
    )
    for operator in op.get_bind().execute(sa.text("select id from foundation.operator")).scalars().all():
        op.execute(sa.text(f"select set_config('app.operator', '{operator}', true)"))
        op.execute(
            sa.text(
                "insert into payments.account (operator_id, code, kind, authorising)"
                f" values ('{operator}', 'kept_by_operator', 'C', false) on conflict do nothing"
            )
        )


def downgrade() -> None:
    op.drop_table('payee_adjustment', schema='payments')
    op.drop_index('due_item_open_idx', table_name='due_item', schema='payments', postgresql_where=sa.text('netted_vnd < amount_vnd'))
    op.drop_table('due_item', schema='payments')
    op.drop_index('settlement_item_day_idx', table_name='settlement_item', schema='payments')
    op.drop_index('settlement_item_charge_idx', table_name='settlement_item', schema='payments')
    op.drop_table('settlement_item', schema='payments')
    op.drop_index('held_back_open_idx', table_name='held_back', schema='payments', postgresql_where=sa.text('released_with is null'))
    op.drop_table('held_back', schema='payments')
    op.drop_table('contract_rent', schema='payments')
    op.drop_table('contract_part', schema='payments')
    op.drop_table('contract_fee', schema='payments')
    op.drop_index('settlement_journal_day_idx', table_name='settlement_journal', schema='payments')
    op.drop_index('settlement_journal_charge_idx', table_name='settlement_journal', schema='payments')
    op.drop_table('settlement_journal', schema='payments')
    op.drop_table('payee_statement', schema='payments')
    op.drop_index('contract_from_key', table_name='contract', schema='payments', postgresql_where=sa.text('agreed_at is not null'))
    op.drop_table('contract', schema='payments')
    op.drop_table('settlement', schema='payments')
    op.drop_index('payee_one_key', table_name='payee', schema='payments', postgresql_where=sa.text("kind in ('operator', 'platform')"))
    op.drop_table('payee', schema='payments')

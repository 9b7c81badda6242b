"""Cash and shifts

Revision ID: 0009
Revises: 0008
"""

from collections.abc import Sequence

import sqlalchemy as sa
import sqlmodel
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = '0009'
down_revision: str | Sequence[str] | None = '0008'
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def _holds(column: str, sum_column: str) -> str:
    notes = (500000, 200000, 100000, 50000, 20000, 10000, 5000, 2000, 1000)
    known = ','.join(str(note) for note in notes)
    added = ' + '.join(f"coalesce(cast({column} ->> '{note}' as bigint), 0) * {note}" for note in notes)
    return (
        f"{column} is null or ({column} - cast('{{{known}}}' as text[]) = cast('{{}}' as jsonb)"
        f" and not jsonb_path_exists({column}, '$.* ? (@ < 0)') and {added} = {sum_column})"
    )


def upgrade() -> None:
    op.create_table('cash_refund_day',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('staff_id', sa.Uuid(), nullable=False),
    sa.Column('day', sa.Date(), nullable=False),
    sa.Column('given_vnd', sa.BigInteger(), nullable=False),
    sa.CheckConstraint('given_vnd > 0', name=op.f('cash_refund_day_given')),
    sa.ForeignKeyConstraint(['operator_id', 'staff_id'], ['foundation.staff.operator_id', 'foundation.staff.id'], name='cash_refund_day_staff_fkey'),
    sa.ForeignKeyConstraint(['operator_id'], ['foundation.operator.id'], name=op.f('cash_refund_day_operator_id_fkey')),
    sa.PrimaryKeyConstraint('operator_id', 'staff_id', 'day', name=op.f('cash_refund_day_pkey')),
    schema='payments'
    )
    op.create_table('deposit',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('reference', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('amount_vnd', sa.BigInteger(), nullable=False),
    sa.Column('arrived_vnd', sa.BigInteger(), server_default='0', nullable=False),
    sa.Column('made_by', sa.Uuid(), nullable=False),
    sa.Column('made_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('arrived_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint('amount_vnd between 1 and 500000000000 and number > 0', name=op.f('deposit_amount')),
    sa.CheckConstraint('arrived_vnd between 0 and amount_vnd', name=op.f('deposit_arrived')),
    sa.ForeignKeyConstraint(['operator_id', 'made_by'], ['foundation.staff.operator_id', 'foundation.staff.id'], name='deposit_staff_fkey'),
    sa.ForeignKeyConstraint(['operator_id'], ['foundation.operator.id'], name=op.f('deposit_operator_id_fkey')),
    sa.PrimaryKeyConstraint('operator_id', 'reference', name=op.f('deposit_pkey')),
    sa.UniqueConstraint('operator_id', 'number', name='deposit_number_key'),
    schema='payments'
    )
    op.create_table('witness',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('id_hash', sa.LargeBinary(), nullable=False),
    sa.Column('staff_id', sa.Uuid(), nullable=False),
    sa.Column('device_id', sa.Uuid(), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('used_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint('used_at <= expires_at', name=op.f('witness_used_in_time')),
    sa.ForeignKeyConstraint(['operator_id', 'device_id'], ['foundation.device.operator_id', 'foundation.device.id'], name='witness_device_fkey'),
    sa.ForeignKeyConstraint(['operator_id', 'staff_id'], ['foundation.staff.operator_id', 'foundation.staff.id'], name='witness_staff_fkey'),
    sa.ForeignKeyConstraint(['operator_id'], ['foundation.operator.id'], name=op.f('witness_operator_id_fkey')),
    sa.PrimaryKeyConstraint('operator_id', 'id_hash', name=op.f('witness_pkey')),
    schema='payments'
    )
    op.create_table('cash_refund',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('shift_id', sa.Uuid(), nullable=False),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('charge_id', sa.Uuid(), nullable=False),
    sa.Column('amount_vnd', sa.BigInteger(), nullable=False),
    sa.Column('reason', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('words', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('staff_id', sa.Uuid(), nullable=False),
    sa.Column('approved_by', sa.Uuid(), nullable=True),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint("reason in ('wrong_sale', 'not_used', 'closed_place', 'overcharged', 'other')", name=op.f('cash_refund_reason')),
    sa.CheckConstraint('amount_vnd > 0 and number > 0', name=op.f('cash_refund_amount')),
    sa.CheckConstraint('approved_by is distinct from staff_id', name=op.f('cash_refund_two_names')),
    sa.ForeignKeyConstraint(['operator_id', 'approved_by'], ['foundation.staff.operator_id', 'foundation.staff.id'], name='cash_refund_approver_fkey'),
    sa.ForeignKeyConstraint(['operator_id', 'charge_id'], ['payments.charge.operator_id', 'payments.charge.id'], name='cash_refund_charge_fkey'),
    sa.ForeignKeyConstraint(['operator_id', 'shift_id'], ['payments.shift.operator_id', 'payments.shift.id'], name='cash_refund_shift_fkey'),
    sa.ForeignKeyConstraint(['operator_id'], ['foundation.operator.id'], name=op.f('cash_refund_operator_id_fkey')),
    sa.PrimaryKeyConstraint('operator_id', 'shift_id', 'number', name=op.f('cash_refund_pkey')),
    schema='payments',
    comment='insert-only: notes were handed back'
    )
    op.create_table('deposit_arrival',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('receipt_id', sa.Uuid(), nullable=False),
    sa.Column('use', sa.Integer(), nullable=False),
    sa.Column('reference', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('amount_vnd', sa.BigInteger(), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint('amount_vnd > 0', name=op.f('deposit_arrival_amount')),
    sa.ForeignKeyConstraint(['operator_id', 'receipt_id'], ['payments.receipt.operator_id', 'payments.receipt.id'], name='deposit_arrival_receipt_fkey'),
    sa.ForeignKeyConstraint(['operator_id', 'reference'], ['payments.deposit.operator_id', 'payments.deposit.reference'], name='deposit_arrival_deposit_fkey'),
    sa.ForeignKeyConstraint(['operator_id'], ['foundation.operator.id'], name=op.f('deposit_arrival_operator_id_fkey')),
    sa.PrimaryKeyConstraint('operator_id', 'receipt_id', 'use', name=op.f('deposit_arrival_pkey')),
    schema='payments',
    comment='insert-only: what arrived'
    )
    op.create_table('deposit_shift',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('reference', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('shift_id', sa.Uuid(), nullable=False),
    sa.Column('amount_vnd', sa.BigInteger(), nullable=False),
    sa.CheckConstraint('amount_vnd <> 0', name=op.f('deposit_shift_amount')),
    sa.ForeignKeyConstraint(['operator_id', 'reference'], ['payments.deposit.operator_id', 'payments.deposit.reference'], name='deposit_shift_fkey'),
    sa.ForeignKeyConstraint(['operator_id', 'shift_id'], ['payments.shift.operator_id', 'payments.shift.id'], name='deposit_shift_shift_fkey'),
    sa.ForeignKeyConstraint(['operator_id'], ['foundation.operator.id'], name=op.f('deposit_shift_operator_id_fkey')),
    sa.PrimaryKeyConstraint('operator_id', 'reference', 'shift_id', name=op.f('deposit_shift_pkey')),
    schema='payments',
    comment='insert-only: what went into a bag'
    )
    op.create_table('shift_report',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('shift_id', sa.Uuid(), nullable=False),
    sa.Column('place', sa.Integer(), nullable=False),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('figures', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('sha256', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint("sha256 = encode(sha256(convert_to(figures, 'UTF8')), 'hex')", name=op.f('shift_report_sha256')),
    sa.ForeignKeyConstraint(['operator_id', 'shift_id'], ['payments.shift.operator_id', 'payments.shift.id'], name='shift_report_shift_fkey'),
    sa.ForeignKeyConstraint(['operator_id'], ['foundation.operator.id'], name=op.f('shift_report_operator_id_fkey')),
    sa.PrimaryKeyConstraint('operator_id', 'shift_id', name=op.f('shift_report_pkey')),
    sa.UniqueConstraint('operator_id', 'place', 'number', name='shift_report_number_key'),
    schema='payments',
    comment='insert-only: a report was signed'
    )
    op.create_table('cash_drop',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('shift_id', sa.Uuid(), nullable=False),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('notes', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('amount_vnd', sa.BigInteger(), nullable=False),
    sa.Column('reservation_id', sa.Uuid(), nullable=False),
    sa.Column('announced_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('received_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('received_by', sa.Uuid(), nullable=True),
    sa.Column('voided_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint(_holds('notes', 'amount_vnd'), name=op.f('cash_drop_notes')),
    sa.CheckConstraint('(received_at is null) = (received_by is null)', name=op.f('cash_drop_received')),
    sa.CheckConstraint('amount_vnd > 0 and number > 0', name=op.f('cash_drop_amount')),
    sa.CheckConstraint('received_at is null or voided_at is null', name=op.f('cash_drop_one_end')),
    sa.ForeignKeyConstraint(['operator_id', 'received_by'], ['foundation.staff.operator_id', 'foundation.staff.id'], name='cash_drop_staff_fkey'),
    sa.ForeignKeyConstraint(['operator_id', 'reservation_id'], ['payments.reservation.operator_id', 'payments.reservation.id'], name='cash_drop_reservation_fkey'),
    sa.ForeignKeyConstraint(['operator_id', 'shift_id'], ['payments.shift.operator_id', 'payments.shift.id'], name='cash_drop_shift_fkey'),
    sa.ForeignKeyConstraint(['operator_id'], ['foundation.operator.id'], name=op.f('cash_drop_operator_id_fkey')),
    sa.PrimaryKeyConstraint('operator_id', 'shift_id', 'number', name=op.f('cash_drop_pkey')),
    schema='payments'
    )
    op.create_table('notes_found',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('shift_id', sa.Uuid(), nullable=False),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('notes', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('amount_vnd', sa.BigInteger(), nullable=False),
    sa.Column('explained_vnd', sa.BigInteger(), nullable=False),
    sa.Column('staff_id', sa.Uuid(), nullable=False),
    sa.Column('words', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint('number > 0 and amount_vnd > 0', name=op.f('notes_found_amount')),
    sa.CheckConstraint('explained_vnd between 0 and amount_vnd', name=op.f('notes_found_explained')),
    sa.CheckConstraint(_holds('notes', 'amount_vnd'), name=op.f('notes_found_notes')),
    sa.ForeignKeyConstraint(['operator_id', 'shift_id'], ['payments.shift.operator_id', 'payments.shift.id'], name='notes_found_shift_fkey'),
    sa.ForeignKeyConstraint(['operator_id', 'staff_id'], ['foundation.staff.operator_id', 'foundation.staff.id'], name='notes_found_staff_fkey'),
    sa.ForeignKeyConstraint(['operator_id'], ['foundation.operator.id'], name=op.f('notes_found_operator_id_fkey')),
    sa.PrimaryKeyConstraint('operator_id', 'shift_id', 'number', name=op.f('notes_found_pkey')),
    schema='payments',
    comment='insert-only: notes were seen'
    )
    op.create_table('proxy_arrival',
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('receipt_id', sa.Uuid(), nullable=False),
    sa.Column('use', sa.Integer(), nullable=False),
    sa.Column('reference', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
    sa.Column('amount_vnd', sa.BigInteger(), nullable=False),
    sa.Column('drawer_vnd', sa.BigInteger(), nullable=False),
    sa.Column('explained_vnd', sa.BigInteger(), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint('drawer_vnd + explained_vnd <= amount_vnd', name=op.f('proxy_arrival_parts')),
    sa.CheckConstraint('drawer_vnd >= 0 and explained_vnd >= 0 and amount_vnd > 0', name=op.f('proxy_arrival_amount')),
    sa.ForeignKeyConstraint(['operator_id', 'receipt_id'], ['payments.receipt.operator_id', 'payments.receipt.id'], name='proxy_arrival_receipt_fkey'),
    sa.ForeignKeyConstraint(['operator_id', 'reference'], ['payments.proxy_transfer.operator_id', 'payments.proxy_transfer.reference'], name='proxy_arrival_transfer_fkey'),
    sa.ForeignKeyConstraint(['operator_id'], ['foundation.operator.id'], name=op.f('proxy_arrival_operator_id_fkey')),
    sa.PrimaryKeyConstraint('operator_id', 'receipt_id', 'use', name=op.f('proxy_arrival_pkey')),
    schema='payments',
    comment='insert-only: what arrived'
    )
    op.alter_column('held_use', 'charge_id',
               existing_type=sa.UUID(),
               nullable=True,
               schema='payments')
    op.add_column('shift', sa.Column('opened_notes', postgresql.JSONB(astext_type=sa.Text()), nullable=True), schema='payments')
    op.add_column('shift', sa.Column('taken_over_from', sa.Uuid(), nullable=True), schema='payments')
    op.add_column('shift', sa.Column('drops', sa.Integer(), server_default='0', nullable=False), schema='payments')
    op.add_column('shift', sa.Column('refunds', sa.Integer(), server_default='0', nullable=False), schema='payments')
    op.add_column('shift', sa.Column('counted_at', sa.DateTime(timezone=True), nullable=True), schema='payments')
    op.add_column('shift', sa.Column('counted_notes', postgresql.JSONB(astext_type=sa.Text()), nullable=True), schema='payments')
    op.add_column('shift', sa.Column('uncounted', sa.Boolean(), server_default='false', nullable=False), schema='payments')
    op.add_column('shift', sa.Column('explained_vnd', sa.BigInteger(), server_default='0', nullable=False), schema='payments')
    op.add_column('shift', sa.Column('reason', sqlmodel.sql.sqltypes.AutoString(), nullable=True), schema='payments')
    op.add_column('shift', sa.Column('words', sqlmodel.sql.sqltypes.AutoString(), nullable=True), schema='payments')
    op.add_column('shift', sa.Column('countersigned_by', sa.Uuid(), nullable=True), schema='payments')
    op.add_column('shift', sa.Column('closed_by', sa.Uuid(), nullable=True), schema='payments')
    op.add_column('shift', sa.Column('safe_vnd', sa.BigInteger(), server_default='0', nullable=False), schema='payments')
    op.add_column('shift', sa.Column('bagged_vnd', sa.BigInteger(), server_default='0', nullable=False), schema='payments')
    op.create_foreign_key('shift_witness_fkey', 'shift', 'staff', ['operator_id', 'countersigned_by'], ['operator_id', 'id'], source_schema='payments', referent_schema='foundation')
    op.create_foreign_key('shift_taken_over_fkey', 'shift', 'shift', ['operator_id', 'taken_over_from'], ['operator_id', 'id'], source_schema='payments', referent_schema='payments')
    op.create_foreign_key('shift_closed_by_fkey', 'shift', 'staff', ['operator_id', 'closed_by'], ['operator_id', 'id'], source_schema='payments', referent_schema='foundation')
    op.drop_constraint(op.f('held_use_kind'), 'held_use', schema='payments')
    op.create_check_constraint(op.f('held_use_kind'), 'held_use', "kind in ('applied', 'proxy', 'deposit')", schema='payments')
    op.create_check_constraint(op.f('held_use_charge'), 'held_use', "(kind = 'applied') = (charge_id is not null)", schema='payments')
    op.drop_constraint(op.f('shift_closed'), 'shift', schema='payments')
    # What was before: a shift was counted when it was closed; a transfer went where its posting says. Each operator's rows
    # are his own, also for the owner of the tables.
    for operator in op.get_bind().execute(sa.text("select id from foundation.operator")).scalars().all():
        op.execute(sa.text(f"select set_config('app.operator', '{operator}', true)"))
        op.execute(
            "insert into payments.proxy_arrival (operator_id, receipt_id, use, reference, amount_vnd, drawer_vnd,"
            " explained_vnd, at)"
            " select o.operator_id, o.receipt_id, 0, p.reference, o.applied_vnd,"
            " case when t.credit = 'cash_in_transit' then 0 else o.applied_vnd end, 0, r.paid_at"
            " from payments.receipt_outcome o"
            " join payments.receipt r on r.operator_id = o.operator_id and r.id = o.receipt_id"
            " join payments.proxy_transfer p on p.operator_id = o.operator_id and p.reference = any(r.references_found)"
            " join payments.transfer t on t.operator_id = o.operator_id and t.flow = o.receipt_id"
            "   and t.debit = 'unapplied_receipts' and (t.credit = 'cash_in_transit' or t.credit like 'cash_drawer:%')"
            " where o.outcome = 'proxy' and o.applied_vnd > 0"
        )
        op.execute(
            "update payments.shift s set counted_at = closed_at, safe_vnd = coalesce(counted_vnd, 0) - float_vnd"
            " - coalesce((select sum(a.amount_vnd - a.drawer_vnd) from payments.proxy_arrival a"
            "   join payments.proxy_transfer p on p.operator_id = a.operator_id and p.reference = a.reference"
            "   where a.operator_id = s.operator_id and p.shift_id = s.id), 0)"
        )
    op.create_check_constraint(op.f('shift_bagged'), 'shift', 'bagged_vnd = 0 or closed_at is not null', schema='payments')
    op.create_check_constraint(op.f('shift_counted'), 'shift', '(counted_at is null) = (counted_vnd is null) and (counted_at is null) = (expected_vnd is null) and (closed_at is null or counted_at is not null)', schema='payments')
    op.create_check_constraint(op.f('shift_counted_notes'), 'shift', _holds('counted_notes', 'counted_vnd'), schema='payments')
    op.create_check_constraint(op.f('shift_difference_has_reason'), 'shift', 'opened_notes is null or closed_at is null or counted_vnd = expected_vnd and not uncounted or reason is not null', schema='payments')
    op.create_check_constraint(op.f('shift_explained'), 'shift', 'explained_vnd between 0 and greatest(coalesce(expected_vnd - counted_vnd, 0), 0)', schema='payments')
    op.create_check_constraint(op.f('shift_opened_notes'), 'shift', _holds('opened_notes', 'float_vnd'), schema='payments')
    op.create_check_constraint(op.f('shift_reason'), 'shift', "reason in ('change', 'sale', 'counterfeit', 'lost', 'uncounted', 'other')", schema='payments')
    op.create_check_constraint(op.f('shift_two_names'), 'shift', 'opened_notes is null or closed_at is null or num_nonnulls(countersigned_by, closed_by) = 1 and countersigned_by is distinct from staff_id', schema='payments')
    op.create_check_constraint(op.f('shift_uncounted'), 'shift', 'opened_notes is null or counted_at is null or uncounted = (counted_notes is null) and (not uncounted or counted_vnd = 0)', schema='payments')


def downgrade() -> None:
    op.drop_constraint(op.f('shift_bagged'), 'shift', schema='payments')
    op.drop_constraint(op.f('shift_counted'), 'shift', schema='payments')
    op.drop_constraint(op.f('shift_counted_notes'), 'shift', schema='payments')
    op.drop_constraint(op.f('shift_difference_has_reason'), 'shift', schema='payments')
    op.drop_constraint(op.f('shift_explained'), 'shift', schema='payments')
    op.drop_constraint(op.f('shift_opened_notes'), 'shift', schema='payments')
    op.drop_constraint(op.f('shift_reason'), 'shift', schema='payments')
    op.drop_constraint(op.f('shift_two_names'), 'shift', schema='payments')
    op.drop_constraint(op.f('shift_uncounted'), 'shift', schema='payments')
    op.drop_constraint(op.f('held_use_charge'), 'held_use', schema='payments')
    op.drop_constraint(op.f('held_use_kind'), 'held_use', schema='payments')
    op.create_check_constraint(op.f('held_use_kind'), 'held_use', "kind = 'applied'", schema='payments')
    op.create_check_constraint(
        op.f('shift_closed'),
        'shift',
        '(closed_at is null) = (counted_vnd is null) and (closed_at is null) = (expected_vnd is null)',
        schema='payments',
    )
    op.drop_constraint('shift_closed_by_fkey', 'shift', schema='payments', type_='foreignkey')
    op.drop_constraint('shift_taken_over_fkey', 'shift', schema='payments', type_='foreignkey')
    op.drop_constraint('shift_witness_fkey', 'shift', schema='payments', type_='foreignkey')
    op.drop_column('shift', 'bagged_vnd', schema='payments')
    op.drop_column('shift', 'safe_vnd', schema='payments')
    op.drop_column('shift', 'closed_by', schema='payments')
    op.drop_column('shift', 'countersigned_by', schema='payments')
    op.drop_column('shift', 'words', schema='payments')
    op.drop_column('shift', 'reason', schema='payments')
    op.drop_column('shift', 'explained_vnd', schema='payments')
    op.drop_column('shift', 'uncounted', schema='payments')
    op.drop_column('shift', 'counted_notes', schema='payments')
    op.drop_column('shift', 'counted_at', schema='payments')
    op.drop_column('shift', 'refunds', schema='payments')
    op.drop_column('shift', 'drops', schema='payments')
    op.drop_column('shift', 'taken_over_from', schema='payments')
    op.drop_column('shift', 'opened_notes', schema='payments')
    op.alter_column('held_use', 'charge_id',
               existing_type=sa.UUID(),
               nullable=False,
               schema='payments')
    op.drop_table('proxy_arrival', schema='payments')
    op.drop_table('notes_found', schema='payments')
    op.drop_table('cash_drop', schema='payments')
    op.drop_table('shift_report', schema='payments')
    op.drop_table('deposit_shift', schema='payments')
    op.drop_table('deposit_arrival', schema='payments')
    op.drop_table('cash_refund', schema='payments')
    op.drop_table('witness', schema='payments')
    op.drop_table('deposit', schema='payments')
    op.drop_table('cash_refund_day', schema='payments')

"""A stay's operator is said by its tariff; fewer checks; hot acts give one row

Revision ID: 0002
Revises: 0001
"""

from collections.abc import Sequence

from alembic import op

revision: str = '0002'
down_revision: str | Sequence[str] | None = '0001'
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    # The tariff's row leads to the operator already.
    op.drop_constraint('stay_operator_id_fkey', 'stay', schema='parking', type_='foreignkey')
    # Two checks say in one expression what four said: every insert and update reads them all anew.
    for name in ('plate', 'tail', 'entered_by', 'entered_device'):
        op.drop_constraint(op.f(f'stay_{name}'), 'stay', schema='parking', type_='check')
    op.create_check_constraint(op.f('stay_plate'), 'stay', 'num_nulls(plate_sealed, plate_tag, tail_tag) in (0, 3)', schema='parking')
    op.create_check_constraint(op.f('stay_entered_by'), 'stay', "entered_by = case when entered_device_id is null then 'visitor' else 'device' end", schema='parking')
    # The files make them anew, with other results.
    op.execute('drop function if exists parking.enter, parking.leave, parking.begin_stay')


def downgrade() -> None:
    op.execute('drop function if exists parking.enter, parking.leave, parking.begin_stay')
    for name in ('plate', 'entered_by'):
        op.drop_constraint(op.f(f'stay_{name}'), 'stay', schema='parking', type_='check')
    op.create_check_constraint(op.f('stay_plate'), 'stay', '(plate_sealed is null) = (plate_tag is null)', schema='parking')
    op.create_check_constraint(op.f('stay_tail'), 'stay', '(plate_tag is null) = (tail_tag is null)', schema='parking')
    op.create_check_constraint(op.f('stay_entered_by'), 'stay', "entered_by in ('device', 'visitor')", schema='parking')
    op.create_check_constraint(op.f('stay_entered_device'), 'stay', "(entered_by = 'device') = (entered_device_id is not null)", schema='parking')
    op.create_foreign_key('stay_operator_id_fkey', 'stay', 'operator', ['operator_id'], ['id'], source_schema='parking', referent_schema='foundation')

"""Rules of a value are domains; who entered a vehicle is said by its tablet alone

Revision ID: 0003
Revises: 0002
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = '0003'
down_revision: str | Sequence[str] | None = '0002'
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# table, its check, column, type, domain, rule
RULES = (
    ('stay', 'serial', 'serial', 'bytea', 'stay_serial', 'octet_length({}) = 10'),
    ('stay', 'settled', 'settled_vnd', 'bigint', 'settled_vnd', '{} >= 0'),
    ('lot', 'capacity', 'capacity', 'integer', 'capacity', '{} > 0'),
    ('lot', 'grace', 'grace_minutes', 'integer', 'grace_minutes', '{} between 0 and 180'),
)


def upgrade() -> None:
    # A domain asks when its value is written; a check of the table is read anew by every insert and update.
    for table, check, column, base, domain, rule in RULES:
        op.execute(f"create domain parking.{domain} as {base} check ({rule.format('value')})")
        op.drop_constraint(op.f(f'{table}_{check}'), table, schema='parking', type_='check')
        op.execute(f'alter table parking.{table} alter column {column} type parking.{domain}')
    op.drop_index('stay_visitor_idx', table_name='stay', schema='parking')
    op.drop_constraint(op.f('stay_entered_by'), 'stay', schema='parking', type_='check')
    op.drop_column('stay', 'entered_by', schema='parking')
    op.create_index('stay_visitor_idx', 'stay', ['operator_id', 'place', 'plate_tag'], unique=True, schema='parking', postgresql_where=sa.text('left_at is null and plate_tag is not null and entered_device_id is null'))
    # The files make them anew, with other results.
    op.execute('drop function if exists parking.enter, parking.leave, parking.begin_stay')


def downgrade() -> None:
    op.execute('drop function if exists parking.enter, parking.leave, parking.begin_stay')
    op.drop_index('stay_visitor_idx', table_name='stay', schema='parking')
    # Filled by the table itself: row-level security would hide the rows from an update.
    op.execute("alter table parking.stay add column entered_by varchar not null"
               " generated always as (case when entered_device_id is null then 'visitor' else 'device' end) stored")
    op.execute('alter table parking.stay alter column entered_by drop expression')
    op.create_check_constraint(op.f('stay_entered_by'), 'stay', "entered_by = case when entered_device_id is null then 'visitor' else 'device' end", schema='parking')
    op.create_index('stay_visitor_idx', 'stay', ['operator_id', 'place', 'plate_tag'], unique=True, schema='parking', postgresql_where=sa.text("left_at is null and plate_tag is not null and entered_by = 'visitor'"))
    for table, check, column, base, domain, rule in RULES:
        op.execute(f'alter table parking.{table} alter column {column} type {base}')
        op.create_check_constraint(op.f(f'{table}_{check}'), table, rule.format(column), schema='parking')
        op.execute(f'drop domain parking.{domain}')

-- The practice tax office's own schema; running this again changes nothing.
create schema if not exists mock_tax;

create table if not exists mock_tax.series (
    issuer text not null, form text not null, symbol text not null, last_number bigint not null,
    primary key (issuer, form, symbol)
);

-- What was received, by its name; `decides_at`: from when on its verdict is told.
create table if not exists mock_tax.item (
    issuer text not null, form text not null, symbol text not null, number bigint not null,
    what text not null check (what in ('issue', 'cancel')),
    content jsonb not null, state text not null check (state in ('accepted', 'rejected')), code text, why text,
    times integer not null default 1, received_at timestamptz not null default clock_timestamp(),
    decides_at timestamptz not null,
    primary key (issuer, form, symbol, number, what)
);

-- What goes wrong: so many answers are lost, so many items rejected; verdicts take so many seconds; nothing is answered.
create table if not exists mock_tax.faults (
    one boolean primary key default true check (one), lose_answers integer not null default 0,
    reject integer not null default 0, decide_seconds integer not null default 0, closed boolean not null default false
);
insert into mock_tax.faults default values on conflict do nothing;

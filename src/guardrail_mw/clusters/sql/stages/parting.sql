-- The edges that operators' splits may change: those whose values somebody holds who was split off, or stayed.
-- From `exported` (account, key, first) and `splits` (split, renaming, account, side).

create table touched as
select distinct e.key from exported e join splits s on s.account = e.account;

create table near as
select e.account, e.key, e.first from exported e join touched t on t.key = e.key;

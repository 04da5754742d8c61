-- One split, by the edges that those before it have left: clusters/splitting.py. Side 1 was split off, 2 stayed, 0 is neither.
-- From `near` (account, key, first), which it replaces, and `splits`.

create table sided as
select n.account, n.key, n.first, coalesce(s.side, 0) as side
from near n left join (select account, side from splits where split = :split) s on s.account = n.account;

-- Of each value that either side holds: whose it is, whether it is the cluster's own, whether both hold it.
create table contested as
with counted as (
  select
    key, count(case when side = 1 then 1 end) as off, count(case when side = 2 then 1 end) as stayed,
    count(case when side = 0 then 1 end) as others
  from sided group by key
)
select
  key, case when off > stayed then 1 else 2 end as won, (off + stayed >= others) as own, (off > 0 and stayed > 0) as disputed
from counted where off + stayed > 0;

-- Of neither side, and holding what each has made its own: of which they lose it.
create table torn as
with tied as (
  select d.account, count(case when c.won = 1 then 1 end) as off, count(case when c.won = 2 then 1 end) as stayed
  from sided d join contested c on c.key = d.key
  where d.side = 0 and c.own
  group by d.account
)
select account, case when off > stayed then 2 else 1 end as loses from tied where off > 0 and stayed > 0;

-- A key that is lost gets another by exclusive or, which is a | b less a & b: the engines have no other sign in common.
create table near as
select
  d.account, d.first,
  case
    when c.disputed and c.own and d.side <> 0 and d.side <> c.won then (d.key | :renaming) - (d.key & :renaming)
    else d.key
  end as key
from sided d
left join contested c on c.key = d.key
left join torn t on t.account = d.account
where not (coalesce(c.disputed, false) and not c.own and d.side <> 0 and d.side <> c.won)
  and not (coalesce(c.own, false) and d.side = 0 and t.loses is not null and t.loses = c.won);

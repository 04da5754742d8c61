-- The edges whose values several accounts hold, and of each value what is known of it: clusters/graph.py.
-- From `accounts` (account, since) and `edges` (account, key, first); hours since the epoch of edges.

-- Accounts by number, in the order of their names; numbered in parts, so that no machine need sort them all.
create table account as
with parted as (
  select account, since, substr(account, 1, 5) as part from accounts
),
counted as (
  select part, cast(sum(count(*)) over (order by part) - count(*) as bigint) as earlier from parted group by part
)
select
  cast(c.earlier + row_number() over (partition by p.part order by p.account) - 1 as bigint) as id, p.account, p.since
from parted p join counted c on c.part = p.part;

-- Values. One that is known as a wider network too, by the same digest, is on a list of shared ones.
create table known as
with held as (
  select key, count(*) as holders from edges group by key having count(*) >= 2
),
noted as (
  select distinct (key & :digest) as digest from edges where (key >> :bits) = :wide
)
select
  h.key, h.holders, k.family,
  (k.bound and (k.below = 0 or h.holders < k.below) and n.digest is null) as bound
from held h
join (select * from (values :kinds) as kind(code, family, bound, below)) k on k.code = (h.key >> :bits)
left join noted n on (h.key >> :bits) = :network and n.digest = (h.key & :digest);

create table shown as
select a.id as owner, e.key, e.first, a.since, k.holders, k.family, k.bound
from edges e join known k on k.key = e.key join account a on a.account = e.account;

-- Which composites surprise, and whom they tie: clusters/islands.py.

create table composite as
with likely as (
  select c.low, c.high, c.together, cast(l.holders as double) * h.holders / :accounts as expected
  from counted c join known l on l.key = c.low join known h on h.key = c.high
  where c.together >= :holders
),
weighed as (
  select
    low, high,
    case when together > expected
      then cast(floor((together * ln(together / expected) - together + expected) * 1000) as bigint)
      else 0 end as worth
  from likely
)
select low, high from weighed where worth >= :needed;

-- Only of values that are in one; as a table, so that no engine begins with a composite's values apart.
create table paired as
with part as (
  select * from wide where key in (select low from composite union select high from composite)
)
select
  b.owner, b.since, least(b.key, o.key) as low, greatest(b.key, o.key) as high,
  greatest(b.first, o.first) as begun, least(b.first, o.first) as older
from part b join part o on o.owner = b.owner and o.family <> b.family and (not o.bound or b.key < o.key)
where b.bound;

-- Each holder to the first of them, less those who were established and had one of the values before the second had both.
create table link as
with placed as (
  select p.*, row_number() over (partition by p.low, p.high order by p.begun) as place
  from paired p join composite c on c.low = p.low and c.high = p.high
),
timed as (
  select p.*, max(case when place = 2 then begun end) over (partition by low, high) as second from placed p
),
tied as (
  select
    owner, min(owner) over (partition by low, high) as first_owner, count(*) over (partition by low, high) as holders
  from timed
  where older >= second or second - since < :age
)
select distinct owner as one, first_owner as other from tied where holders >= :holders;

create table node as
select distinct one as id from link;

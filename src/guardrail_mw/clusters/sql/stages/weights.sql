-- What values say for clusters, and which of them clusters have made their own: clusters/weights.py, clusters/nominees.py.
-- From `home` (id, cluster): the accounts that are in one.

create table sized as
select cluster, count(*) as size from home group by cluster;

create table nominee as
with crowd as (
  select
    count(h.id) as members, count(case when h.id is null and a.since <= :established then 1 end) as elders
  from account a left join home h on h.id = a.id
),
used as (
  select
    s.key, count(h.id) as member,
    count(case when h.id is not null and s.first >= :new then 1 end) as recent,
    count(case when h.id is null and s.since <= :established then 1 end) as old
  from shown s left join home h on h.id = s.owner
  where s.family in (:content) and not s.bound
  group by s.key
)
select u.key
from used u cross join crowd c
where u.recent >= :uses and (u.member / greatest(1, c.members)) / ((u.old + 1) / (c.elders + 1)) >= :lift;

create table worth as
with held as (
  select s.key, h.cluster, s.first, row_number() over (partition by s.key, h.cluster order by s.first) as place
  from shown s join home h on h.id = s.owner
),
counted as (
  select key, cluster, count(*) as members, max(case when place = 2 then first end) as second
  from held group by key, cluster having count(*) >= 2
),
weighed as (
  select
    c.key, c.cluster, c.members, c.second, k.family, k.bound,
    (n.key is not null and c.members >= :own_members and c.members >= :own_share * s.size) as nominated,
    cast(floor(1000 * ln((c.members / s.size) / ((k.holders - c.members + 0.5e0) / (:accounts - s.size + 1)))) as bigint)
      as weight
  from counted c
  join known k on k.key = c.key
  join sized s on s.cluster = c.cluster
  left join nominee n on n.key = c.key
)
select key, cluster, members, least(weight, :most) as weight, second, family, bound, nominated
from weighed where weight >= :least;

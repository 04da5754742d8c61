-- Who qualifies for which cluster, and what comes of it: clusters/growth.py, clusters/forming.py.

create table wanted as
select distinct s.owner, h.cluster as home, w.cluster
from shown s join worth w on w.key = s.key left join home h on h.id = s.owner
where (w.nominated or w.bound) and (h.cluster is null or h.cluster <> w.cluster);

create table joining as
with met as (
  select
    t.owner, t.home, t.cluster, w.family, w.bound, w.nominated, w.weight,
    case when s.first >= w.second or w.second - s.since < :age then w.weight else 0 end as fair
  from wanted t join shown s on s.owner = t.owner join worth w on w.key = s.key and w.cluster = t.cluster
),
summed as (
  select
    owner, home, cluster, family,
    least(sum(fair), :most) as score,
    sum(case when nominated then fair else 0 end) as own,
    max(case when bound and fair >= :counts then 1 else 0 end) as tied,
    max(case when bound and weight >= :counts then 1 else 0 end) as held
  from met group by owner, home, cluster, family
),
scored as (
  select
    owner, home, cluster,
    cast(sum(case when score >= :counts then score else 0 end) as bigint) as total,
    count(case when score >= :counts then 1 end) as several,
    count(case when own >= :counts then 1 end) as taken,
    max(tied) as tied, max(held) as held
  from summed group by owner, home, cluster
)
select owner, home, cluster, total
from scored
where total >= :joins
  and (several >= :assertable or (tied = 1 and several >= :two) or (held = 1 and taken >= :two));

-- Accounts of no cluster: to the one that they score highest for, then to the larger, then to the first.
create table joiner as
with ranked as (
  select
    j.owner, j.cluster, row_number() over (partition by j.owner order by j.total desc, s.size desc, j.cluster) as place
  from joining j join sized s on s.cluster = j.cluster
  where j.home is null
)
select owner as id, cluster from ranked where place = 1;

-- Clusters of which a share qualifies for another.
create table link as
select j.home as one, j.cluster as other
from joining j join sized s on s.cluster = j.home
group by j.home, j.cluster, s.size
having count(*) >= :drawn and count(*) >= :share * s.size;

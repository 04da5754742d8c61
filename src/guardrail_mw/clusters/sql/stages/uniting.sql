-- Clusters that have made the same two nominees of two families their own, each to the first of them: clusters/nominees.py.

create table link as
with own as (
  select key, cluster, family from worth where nominated
),
shared as (
  select o.cluster, min(o.cluster) over (partition by o.key, p.key) as first_cluster
  from own o join own p on p.cluster = o.cluster and o.family < p.family
)
select distinct cluster as one, first_cluster as other from shared where cluster <> first_cluster;

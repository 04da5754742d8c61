-- Composites: two values of two families, one at least bound, each held by enough; how many hold both: clusters/islands.py.

create view wide as
select owner, key, first, since, family, bound from shown where holders >= :holders;

create table counted as
select least(b.key, o.key) as low, greatest(b.key, o.key) as high, count(*) as together
from wide b join wide o on o.owner = b.owner and o.family <> b.family and (not o.bound or b.key < o.key)
where b.bound
group by least(b.key, o.key), greatest(b.key, o.key);

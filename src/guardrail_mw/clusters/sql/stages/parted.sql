-- All edges, after the last split: those that no split could change, and what they have left of the others.

create table parted as
select e.account, e.key, e.first from exported e left join touched t on t.key = e.key where t.key is null
union all
select account, key, first from near;

select concat_ws('|', rolname,
  concat_ws(', ', case when rolcanlogin then 'log in' end, case when rolsuper then 'everything: superuser' end,
            case when rolcreatedb then 'make databases' end, case when rolcreaterole then 'make roles' end,
            case when rolreplication then 'replicate' end, case when rolbypassrls then 'pass row security' end),
  coalesce((select string_agg(g.rolname, ', ' order by g.rolname)
            from pg_auth_members m join pg_roles g on g.oid = m.roleid where m.member = r.oid), ''),
  coalesce((select string_agg(datname, ', ' order by datname)
            from pg_database where datdba = r.oid and datname in (OURS)), ''))
from pg_roles r where rolname in (OURS) or rolsuper order by rolname

select 'create role "$NAME"'
  where not exists (select from pg_roles where rolname = '$NAME') \gexec
set password_encryption = 'scram-sha-256';  -- an error before PostgreSQL 10, which takes a verifier for a password
alter role "$NAME" login password '$VERIFIER';
select 'create database "$NAME" owner "$NAME"' || case pg_encoding_to_char(encoding) when 'UTF8' then '' else
  ' encoding ''UTF8'' lc_collate ''C.UTF-8'' lc_ctype ''C.UTF-8'' template template0' end
  from pg_database where datname = 'template1' and not exists (select from pg_database where datname = '$NAME') \gexec

-- A role for reading the reports: it sees no buyer's name or address, and can change nothing.
--
--   psql "$WAREHOUSE" -v role=analyst -v password='a good one' -f docs/analyst-role.sql
--   psql "$WAREHOUSE" -v role=analyst_uk -v password='a good one' -v store=bricks_uk -f docs/analyst-role.sql
--
-- Without a store it reads the schema `reports`, with the rows of all stores. With one it reads the schema
-- `store_reports` in its place: the same reports, of each only the rows of this store.
--
-- Who must run it: a superuser of the server, connected to the warehouse's database; the user of the embedded Postgres
-- is one. Or the warehouse's own user, if it may make roles (ALTER ROLE ... CREATEROLE, by a superuser).
-- Run it when the warehouse has its reports, so after the first `bl sync`. Running it again sets the password again, and
-- what the role reads: all stores, or the one that is given now.
\set ON_ERROR_STOP on
\if :{?store}
  \set schema store_reports
  \set other reports
\else
  \set schema reports
  \set other store_reports
  \set store ''
\endif

BEGIN;

DO $$
BEGIN
    IF to_regnamespace('reports') IS NULL THEN
        RAISE EXCEPTION 'there are no reports in this database: connect to the warehouse, after a first bl sync';
    END IF;
    IF to_regnamespace('store_reports') IS NULL THEN
        RAISE EXCEPTION 'the reports are of an older release: bring the warehouse up to date with bl doctor';
    END IF;
    IF NOT EXISTS (
        SELECT FROM pg_roles r JOIN pg_namespace n ON n.nspname = 'reports'
        WHERE r.rolname = current_user AND (r.rolsuper OR r.rolcreaterole AND pg_has_role(n.nspowner, 'USAGE'))
    ) THEN
        RAISE EXCEPTION '% may not make roles: run this as a superuser of the server', current_user;
    END IF;
END $$;

-- Whoever makes the reports, whoever runs this.
SELECT nspowner::regrole AS owner FROM pg_namespace WHERE nspname = 'reports'
\gset

SELECT format('CREATE ROLE %I NOSUPERUSER NOCREATEDB NOCREATEROLE', :'role')
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role')
\gexec

ALTER ROLE :"role" WITH LOGIN PASSWORD :'password';
-- One query that was meant differently does not keep the server busy for an hour.
ALTER ROLE :"role" SET statement_timeout = '5min';
ALTER ROLE :"role" SET default_transaction_read_only = on;
ALTER ROLE :"role" SET search_path = :"schema";

-- What an earlier run of this has granted.
REVOKE ALL ON SCHEMA :"other" FROM :"role";
REVOKE ALL ON ALL TABLES IN SCHEMA :"other" FROM :"role";
ALTER DEFAULT PRIVILEGES FOR ROLE :owner IN SCHEMA :"other" REVOKE ALL ON TABLES FROM :"role";
DELETE FROM sync.store_readers WHERE role_name = :'role';

INSERT INTO sync.store_readers (role_name, store) SELECT :'role', :'store' WHERE :'store' <> '';
GRANT CONNECT ON DATABASE :"DBNAME" TO :"role";
GRANT USAGE ON SCHEMA :"schema" TO :"role";
GRANT SELECT ON ALL TABLES IN SCHEMA :"schema" TO :"role";
-- Reports that a later release adds, or makes again, too.
ALTER DEFAULT PRIVILEGES FOR ROLE :owner IN SCHEMA :"schema" GRANT SELECT ON TABLES TO :"role";

-- With a store: nothing else may open the rest to the role. What it may make, it could make to look at other rows.
SELECT set_config('bl_pipeline.analyst', :'role', true), set_config('bl_pipeline.analyst_store', :'store', true)
\g /dev/null
DO $$
DECLARE
    analyst text := current_setting('bl_pipeline.analyst');
    wanted text := current_setting('bl_pipeline.analyst_store');
    found text;
BEGIN
    IF wanted = '' THEN
        RETURN;
    END IF;
    IF NOT EXISTS (SELECT FROM sync.stores WHERE store = wanted) THEN
        SELECT string_agg(store, ', ' ORDER BY store) INTO found FROM sync.stores;
        RAISE EXCEPTION 'there is no store % in this warehouse. Its stores are: %', wanted, coalesce(found, 'none yet');
    END IF;
    SELECT string_agg(what, ', ') INTO found FROM (
        SELECT 'it is a superuser' FROM pg_roles WHERE rolname = analyst AND rolsuper
        UNION ALL
        SELECT 'it may make roles' FROM pg_roles WHERE rolname = analyst AND rolcreaterole
        UNION ALL
        SELECT 'it is a member of ' || r.rolname FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid
        WHERE m.member = to_regrole(quote_ident(analyst))
        UNION ALL
        SELECT 'it may make functions in the schema ' || nspname FROM pg_namespace
        WHERE nspname !~ '^pg_' AND has_schema_privilege(analyst, oid, 'CREATE')
        UNION ALL
        SELECT 'it may make schemas' WHERE has_database_privilege(analyst, current_database(), 'CREATE')
        UNION ALL
        SELECT 'it may read ' || c.oid::regclass FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname IN ('landing', 'sales', 'sync', 'books', 'reports', 'dagster') AND c.relkind IN ('r', 'p', 'v')
          AND has_schema_privilege(analyst, n.oid, 'USAGE') AND has_any_column_privilege(analyst, c.oid, 'SELECT')
    ) AS ways (what);
    IF found IS NOT NULL THEN
        RAISE EXCEPTION 'the role % would see other stores too, or find a way to: %', analyst, found
            USING HINT = 'Take these rights away, from PUBLIC too if they are its, or choose a new name for the role.';
    END IF;
END $$;

COMMIT;

-- A role for reading the reports: it sees the schema `reports`, no buyer's name or address, and can change nothing.
--
--   psql "$WAREHOUSE" -v role=analyst -v password='a good one' -f docs/analyst-role.sql
--
-- Who must run it: a superuser of the server, connected to the warehouse's database; the user of the embedded Postgres
-- is one. Or the warehouse's own user, if it may make roles (ALTER ROLE ... CREATEROLE, by a superuser).
-- Run it when the warehouse has its reports, so after the first `bl sync`. Running it again sets the password again.
\set ON_ERROR_STOP on

DO $$
BEGIN
    IF to_regnamespace('reports') IS NULL THEN
        RAISE EXCEPTION 'there are no reports in this database: connect to the warehouse, after a first bl sync';
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
ALTER ROLE :"role" SET search_path = reports;

GRANT CONNECT ON DATABASE :"DBNAME" TO :"role";
GRANT USAGE ON SCHEMA reports TO :"role";
GRANT SELECT ON ALL TABLES IN SCHEMA reports TO :"role";
-- Reports that a later release adds, or makes again, too.
ALTER DEFAULT PRIVILEGES FOR ROLE :owner IN SCHEMA reports GRANT SELECT ON TABLES TO :"role";

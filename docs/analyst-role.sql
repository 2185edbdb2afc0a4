-- A role for reading the reports: it sees the schema `reports`, no buyer's name or address, and can change nothing.
--
--   psql "$WAREHOUSE" -v role=analyst -v password='a good one' -f docs/analyst-role.sql
--
-- Run it as the warehouse's owner. Running it again sets the password anew.
\set ON_ERROR_STOP on

SELECT format('CREATE ROLE %I', :'role')
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role')
\gexec

ALTER ROLE :"role" WITH LOGIN PASSWORD :'password' NOSUPERUSER NOCREATEDB NOCREATEROLE;
-- One query that was meant differently does not keep the server busy for an hour.
ALTER ROLE :"role" SET statement_timeout = '5min';
ALTER ROLE :"role" SET default_transaction_read_only = on;
ALTER ROLE :"role" SET search_path = reports;

GRANT CONNECT ON DATABASE :"DBNAME" TO :"role";
GRANT USAGE ON SCHEMA reports TO :"role";
GRANT SELECT ON ALL TABLES IN SCHEMA reports TO :"role";
-- Reports that a later release adds, too.
ALTER DEFAULT PRIVILEGES IN SCHEMA reports GRANT SELECT ON TABLES TO :"role";

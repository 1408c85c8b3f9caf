-- The login of the tools in this demo: it may read the views, and has a schema of its own to build in.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'analyst') THEN
        CREATE ROLE analyst LOGIN PASSWORD 'analyst';
    END IF;
END
$$;
GRANT carts_reader TO analyst;
CREATE SCHEMA IF NOT EXISTS analytics AUTHORIZATION analyst;

"""Everything that speaks to PostgreSQL; the sole importer of SQLAlchemy and psycopg.

Driver errors are translated here: nothing above sees a `DBAPIError`.
"""

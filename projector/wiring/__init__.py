"""Where adapters meet ports: settings become a database, an account, a host; no decision lives here."""

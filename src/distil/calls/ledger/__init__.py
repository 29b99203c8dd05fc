"""The ledger: every paid call in one SQLite file. Start at store.py; writer.py makes rows durable, schema.py holds the tables."""

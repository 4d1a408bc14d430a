"""The database: tables, transactions, one writer. Knows nothing of decisions or approvals but their columns.

Read in this order: `tables`, `rows`, `store`, `sqlite`, `writer`, `schema`, `migrate`. What is written into the
decision log, and read from it, is in `audit/`.
"""

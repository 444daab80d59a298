"""The usage ledger's tables and statements."""

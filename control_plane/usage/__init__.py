"""The usage ledger: what workers ship, kept once and told."""

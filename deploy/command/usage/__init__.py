"""The command `modelplane usage`: what was used, by whom, as a table, JSON, CSV or Parquet."""

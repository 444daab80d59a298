"""Reads tables below a directory in the ways of `docs/payload-tables.md`; prints what it found."""

import json
import sys

import duckdb
import polars as pl
from deltalake import DeltaTable, QueryBuilder

[root] = sys.argv[1:]
payloads, spans = f"{root}/main/logs/chat_payload", f"{root}/main/otel/spans"

stream = QueryBuilder().register("payloads", DeltaTable(payloads)).execute("select * from payloads")
by_stream = duckdb.sql("select count(*), min(status_code), max(request) from stream").fetchall()

again = QueryBuilder().register("payloads", DeltaTable(payloads)).execute("select * from payloads")
asked = duckdb.sql("select request->>'$.q' as q, count(*) from again group by q").fetchall()

files = DeltaTable(payloads).file_uris()
by_files = duckdb.read_parquet(files, hive_partitioning=True).filter("status_code >= 400")

told = QueryBuilder().register("spans", DeltaTable(spans)).execute("select * from spans")
models = duckdb.sql("select distinct attributes['gen_ai.request.model'] from told").fetchall()

frame = pl.scan_delta(payloads).filter(pl.col("status_code") >= 400)
attributes = pl.scan_delta(spans).select("name", "attributes").collect()
print(
    json.dumps(
        {
            "stream": by_stream,
            "json": asked,
            "files": by_files.aggregate("count(*)").fetchall(),
            "map": models,
            "polars": frame.select("databricks_request_id").collect().to_series().to_list(),
            "polars spans": attributes["name"].to_list(),
        }
    )
)

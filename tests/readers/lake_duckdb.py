"""Reads a pipeline's folder with DuckDB: its types and its rows, one JSON document a line."""

import json
import sys

import duckdb

pattern = sys.argv[1] + "/**/*.parquet"
duckdb.sql("set timezone = 'UTC'")
for hive in ("false", "true"):
    source = f"read_parquet('{pattern}', hive_partitioning = {hive})"
    types = {row[0]: row[1] for row in duckdb.sql(f"describe select * from {source}").fetchall()}
    total, keys = duckdb.sql(
        f"select count(*), count(distinct (hour, account_id, campaign_id)) from {source}"
    ).fetchall()[0]
    print(json.dumps({"hive": hive == "true", "types": types, "rows": total, "keys": keys}))

# Exact values as text: JSON numbers would be rounded on the way.
columns = """account_id, campaign_id, campaign_name, account_timezone, epoch(hour)::bigint as hour,
    strftime(local_hour, '%Y-%m-%dT%H:%M:%S') as local_hour, utc_offset_minutes, impressions, clicks,
    spend::varchar as spend, conversions::varchar as conversions, link_clicks, purchases,
    epoch(updated_at)::bigint as updated_at"""
answer = duckdb.sql(f"select {columns} from read_parquet('{pattern}') order by account_id, campaign_id, hour")
for row in answer.fetchall():
    print(json.dumps(dict(zip(answer.columns, row))))

"""Asks DuckDB a question of a lake's folder; prints how many rows it answers, and in how many seconds."""

import sys
import time

import duckdb

folder, sql = sys.argv[1:]
connection = duckdb.connect()
connection.execute("set timezone = 'UTC'; set enable_progress_bar = false")
began = time.perf_counter()
connection.execute(f"create view bench as select * from read_parquet('{folder}/**/*.parquet', hive_partitioning = true)")
rows = connection.sql(sql).to_arrow_table().num_rows
print(rows, time.perf_counter() - began)

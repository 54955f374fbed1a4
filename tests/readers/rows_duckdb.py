"""Reads a dataset's folder with DuckDB: the asked columns of all rows as CSV, or sums by account and currency.

    rows_duckdb.py FOLDER rows COLUMN ...
    rows_duckdb.py FOLDER sums COLUMN ...

Values are printed as DuckDB casts them to text, moments as 2026-11-01T05:00:00Z, local times without the Z, null as nothing.
"""

import csv
import sys

import duckdb

folder, what, *columns = sys.argv[1:]
duckdb.sql("set timezone = 'UTC'")
source = f"read_parquet('{folder}/**/*.parquet', union_by_name = true)"
types = {row[0]: row[1] for row in duckdb.sql(f"describe select * from {source}").fetchall()}
absent = [column for column in columns if column not in types]
if absent:
    sys.exit(f"the lake has no column {', '.join(absent)}; it has {', '.join(types)}")


def text(column):
    kind = types[column]
    if kind == "TIMESTAMP WITH TIME ZONE":
        return f"strftime(\"{column}\", '%Y-%m-%dT%H:%M:%SZ')"
    if kind.startswith("TIMESTAMP"):
        return f"strftime(\"{column}\", '%Y-%m-%dT%H:%M:%S')"
    return f'cast("{column}" as varchar)'


if what == "rows":
    shown = ", ".join(f'{text(column)} as "{column}"' for column in columns)
    order = [column for column in ("account_id", "campaign_id", "hour", "valid_from") if column in types]
    answer = duckdb.sql(f"select {shown} from {source} order by {', '.join(order)}")
else:
    exact = (f'sum(cast("{column}" as decimal(38, 12)))' for column in columns)
    shown = ", ".join(f'cast({sum_of} as varchar) as "{column}"' for sum_of, column in zip(exact, columns))
    answer = duckdb.sql(
        f"select account_id, coalesce(currency, '') as currency, {shown} from {source} group by all order by all"
    )
writer = csv.writer(sys.stdout, lineterminator="\n")
writer.writerow(answer.columns)
for row in answer.fetchall():
    writer.writerow("" if value is None else value for value in row)

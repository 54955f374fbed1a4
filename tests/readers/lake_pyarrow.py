"""Reads a pipeline's folder with pyarrow: its types, its files' row groups, and its rows, one JSON document a line."""

import json
import sys

import pyarrow.compute as compute
import pyarrow.dataset as dataset
import pyarrow.parquet as parquet

lake = dataset.dataset(sys.argv[1], format="parquet", partitioning="hive", exclude_invalid_files=True)
table = lake.to_table()
types = {field.name: str(field.type) for field in table.schema}
print(json.dumps({"hive": True, "types": types, "rows": table.num_rows, "files": len(lake.files)}))


def seconds(moment):
    return int(moment.timestamp())


for path in sorted(lake.files):
    file = parquet.ParquetFile(path)
    groups = []
    for number in range(file.metadata.num_row_groups):
        group = file.metadata.row_group(number)
        columns = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
        rows = file.read_row_group(number, columns=["hour", "account_id", "campaign_id"]).to_pylist()
        keys = [(row["hour"], row["account_id"], row["campaign_id"]) for row in rows]
        hour = columns["hour"].statistics
        groups.append(
            {
                "from": seconds(hour.min),
                "to": seconds(hour.max),
                "rows": group.num_rows,
                "sorted": keys == sorted(keys),
                "without_statistics": sorted(n for n, c in columns.items() if not c.is_stats_set),
                "compression": sorted({c.compression for c in columns.values()} - {"UNCOMPRESSED"}),
                "uncompressed": sorted(n for n, c in columns.items() if c.compression == "UNCOMPRESSED"),
                "sorted_by": [file.schema.column(s.column_index).name for s in group.sorting_columns],
                "without_page_index": sorted(n for n, c in columns.items() if not c.has_column_index),
            }
        )
    metadata = {k.decode(): v.decode() for k, v in file.metadata.metadata.items() if k.startswith(b"hourmark")}
    print(json.dumps({"path": path, "groups": groups, "metadata": metadata}))

table = table.sort_by([("account_id", "ascending"), ("campaign_id", "ascending"), ("hour", "ascending")])
table = table.set_column(
    table.schema.get_field_index("local_hour"), "local_hour", compute.strftime(table["local_hour"], "%Y-%m-%dT%H:%M:%S")
)
for row in table.to_pylist():
    print(
        json.dumps(
            {
                "account_id": row["account_id"],
                "campaign_id": row["campaign_id"],
                "campaign_name": row["campaign_name"],
                "account_timezone": row["account_timezone"],
                "hour": seconds(row["hour"]),
                "local_hour": row["local_hour"].removesuffix(".000000"),
                "utc_offset_minutes": row["utc_offset_minutes"],
                "impressions": row["impressions"],
                "clicks": row["clicks"],
                "spend": str(row["spend"]),
                "conversions": str(row["conversions"]),
                "link_clicks": row["link_clicks"],
                "purchases": row["purchases"],
                "updated_at": seconds(row["updated_at"]),
            }
        )
    )

-- Units that broke a quality rule; their rows are in the lake's quarantine, in a file named by key and `fetched_at`.
-- `zones` is a JSON array with the zone whose hours the platform reports, for each of `accounts`; `examples` one of texts:
-- the first rows that broke a rule. `at` is when it was put here. `released_at` is set while it is staged again by
-- command, until it is published.
CREATE TABLE quarantine (
    pipeline    TEXT    NOT NULL,
    key         TEXT    NOT NULL,
    lane        TEXT    NOT NULL,
    accounts    TEXT    NOT NULL,
    zones       TEXT    NOT NULL,
    window_from INTEGER NOT NULL,
    window_to   INTEGER NOT NULL,
    closed_from INTEGER NOT NULL,
    closed_to   INTEGER NOT NULL,
    fetched_at  INTEGER NOT NULL,
    row_count   INTEGER NOT NULL,
    requests    INTEGER NOT NULL,
    reason      TEXT    NOT NULL,
    examples    TEXT    NOT NULL,
    at          INTEGER NOT NULL,
    released_at INTEGER,
    PRIMARY KEY (pipeline, key)
) STRICT;

-- Moments are whole seconds since 1970-01-01T00:00Z. STRICT refuses values of another type than the column's.

-- Accounts that a pipeline has ever listed.
CREATE TABLE accounts (
    pipeline    TEXT    NOT NULL,
    account_id  TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    time_zone   TEXT    NOT NULL,
    currency    TEXT    NOT NULL,
    started     INTEGER NOT NULL,
    watermark   INTEGER NOT NULL,
    first_seen  INTEGER NOT NULL,
    last_listed INTEGER NOT NULL,
    PRIMARY KEY (pipeline, account_id)
) STRICT, WITHOUT ROWID;

-- One row per account and UTC day (days since 1970-01-01); `cells` is `ledger::DayLedger::encode`. In the key
-- the day comes before the account, so that a run's load and writes (all accounts, the latest days) are one stretch.
CREATE TABLE ledger (
    pipeline   TEXT    NOT NULL,
    day        INTEGER NOT NULL,
    account_id TEXT    NOT NULL,
    cells      BLOB    NOT NULL,
    PRIMARY KEY (pipeline, day, account_id),
    FOREIGN KEY (pipeline, account_id) REFERENCES accounts (pipeline, account_id)
) STRICT, WITHOUT ROWID;

-- Units that are staged, failed, or were published lately. `closed_from` and `closed_to` bound the part of the window
-- whose hours were over when it was fetched; they are null for a failed unit. `at` is when the row last changed.
CREATE TABLE units (
    pipeline    TEXT    NOT NULL,
    key         TEXT    NOT NULL,
    lane        TEXT    NOT NULL,
    status      TEXT    NOT NULL CHECK (status IN ('staged', 'failed', 'published')),
    accounts    TEXT    NOT NULL,
    window_from INTEGER NOT NULL,
    window_to   INTEGER NOT NULL,
    closed_from INTEGER,
    closed_to   INTEGER,
    row_count   INTEGER NOT NULL,
    requests    INTEGER NOT NULL,
    attempts    INTEGER NOT NULL,
    reason      TEXT    NOT NULL,
    at          INTEGER NOT NULL,
    PRIMARY KEY (pipeline, key)
) STRICT;
CREATE INDEX units_by_status ON units (pipeline, status, at);

-- Who works on a pipeline. `token` grows with each acquisition and never shrinks; `holder` is null once released.
CREATE TABLE leases (
    pipeline TEXT    NOT NULL PRIMARY KEY,
    holder   TEXT,
    token    INTEGER NOT NULL,
    since    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Runs; `ended_at` is null while one is under way, and for ever where it was interrupted.
CREATE TABLE runs (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    pipeline      TEXT    NOT NULL,
    kind          TEXT    NOT NULL CHECK (kind IN ('hourly', 'backfill', 'repair')),
    started_at    INTEGER NOT NULL,
    ended_at      INTEGER,
    outcome       TEXT    NOT NULL DEFAULT '',
    units_done    INTEGER NOT NULL DEFAULT 0,
    units_failed  INTEGER NOT NULL DEFAULT 0,
    units_waiting INTEGER NOT NULL DEFAULT 0,
    rows_added    INTEGER NOT NULL DEFAULT 0,
    rows_changed  INTEGER NOT NULL DEFAULT 0,
    rows_removed  INTEGER NOT NULL DEFAULT 0,
    requests      INTEGER NOT NULL DEFAULT 0,
    retries       INTEGER NOT NULL DEFAULT 0,
    throttled     INTEGER NOT NULL DEFAULT 0,
    resume_at     INTEGER,
    note          TEXT    NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX runs_by_pipeline ON runs (pipeline, id);

-- Responses that change slowly. `size` is what the row counts towards the bound; the index lets the oldest be found
-- without reading a body.
CREATE TABLE responses (
    pipeline      TEXT    NOT NULL,
    key           TEXT    NOT NULL,
    stored_at     INTEGER NOT NULL,
    size          INTEGER NOT NULL,
    etag          TEXT,
    last_modified TEXT,
    fresh_until   INTEGER,
    link          TEXT,
    body          BLOB    NOT NULL,
    PRIMARY KEY (pipeline, key)
) STRICT;
CREATE INDEX responses_by_age ON responses (stored_at, pipeline, key, size);

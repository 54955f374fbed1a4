-- Units whose rows are being made on the platform: what a later run takes up first.
CREATE TABLE begun_units (
    pipeline    TEXT    NOT NULL,
    key         TEXT    NOT NULL,
    lane        TEXT    NOT NULL,
    accounts    TEXT    NOT NULL,
    window_from INTEGER NOT NULL,
    window_to   INTEGER NOT NULL,
    begun_at    INTEGER NOT NULL,
    PRIMARY KEY (pipeline, key)
) STRICT;

-- Requests that create something on the platform, each recorded before its first sending. `body_hash` has the bits of an
-- unsigned number. `made` is the id of what was made. While `ended_at` is null the creation is open; `given_up` says why
-- where it ended before its unit did.
CREATE TABLE creations (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    pipeline  TEXT    NOT NULL,
    unit      TEXT    NOT NULL,
    part      INTEGER NOT NULL,
    round     INTEGER NOT NULL,
    key       TEXT    NOT NULL,
    body_hash INTEGER NOT NULL,
    begun_at  INTEGER NOT NULL,
    made      TEXT,
    made_at   INTEGER,
    ended_at  INTEGER,
    given_up  TEXT,
    UNIQUE (pipeline, unit, part, round),
    UNIQUE (pipeline, key)
) STRICT;
CREATE INDEX creations_by_end ON creations (pipeline, ended_at);
-- One is open at a time.
CREATE UNIQUE INDEX creations_open ON creations (pipeline, unit, part) WHERE ended_at IS NULL;

-- The largest request that a platform has not called too large; `account_id` is empty where it is not about an account.
CREATE TABLE sizes (
    pipeline   TEXT    NOT NULL,
    account_id TEXT    NOT NULL,
    what       TEXT    NOT NULL CHECK (what IN ('hours', 'campaigns', 'accounts')),
    most       INTEGER NOT NULL CHECK (most > 0),
    learned_at INTEGER NOT NULL,
    PRIMARY KEY (pipeline, account_id, what)
) STRICT, WITHOUT ROWID;

-- Accounts that are left out because the platform no longer gives them.
CREATE TABLE skips (
    pipeline   TEXT    NOT NULL,
    account_id TEXT    NOT NULL,
    since      INTEGER NOT NULL,
    last_tried INTEGER NOT NULL,
    reason     TEXT    NOT NULL,
    PRIMARY KEY (pipeline, account_id),
    FOREIGN KEY (pipeline, account_id) REFERENCES accounts (pipeline, account_id)
) STRICT, WITHOUT ROWID;

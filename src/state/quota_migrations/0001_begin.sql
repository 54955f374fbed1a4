-- What is used up of each quota, by what it is counted by. `kept` is the quota's own encoding; `at` is when the row was
-- written last, in milliseconds since 1970-01-01T00:00Z.
CREATE TABLE tallies (
    quota TEXT    NOT NULL,
    scope TEXT    NOT NULL,
    kept  BLOB    NOT NULL,
    at    INTEGER NOT NULL,
    PRIMARY KEY (quota, scope)
) STRICT, WITHOUT ROWID;

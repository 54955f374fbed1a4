-- `due`: the first moment at which an hour of the day is due under the rules of `due_rules`; null where that is not known.
-- A run looks only at days in which something is due.
ALTER TABLE ledger ADD COLUMN due INTEGER;
CREATE INDEX ledger_by_due ON ledger (pipeline, due);
CREATE INDEX ledger_by_account ON ledger (pipeline, account_id, day);

-- The rules under which `due` was worked out, as text; another text means working it out anew.
CREATE TABLE due_rules (
    pipeline TEXT NOT NULL PRIMARY KEY,
    rules    TEXT NOT NULL,
    last_age INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Adjacent hours that no run asks for again: `ledger::FinalStretch`, slots are hours since 1970.
CREATE TABLE finals (
    pipeline     TEXT    NOT NULL,
    account_id   TEXT    NOT NULL,
    from_slot    INTEGER NOT NULL,
    to_slot      INTEGER NOT NULL,
    least_age    INTEGER NOT NULL,
    first_by     INTEGER NOT NULL,
    confirmed_by INTEGER NOT NULL,
    changed_by   INTEGER NOT NULL,
    with_rows    INTEGER NOT NULL,
    PRIMARY KEY (pipeline, account_id, from_slot),
    FOREIGN KEY (pipeline, account_id) REFERENCES accounts (pipeline, account_id)
) STRICT, WITHOUT ROWID;

-- How many account-hours were read again at an age (seconds), and how many of them had moved.
CREATE TABLE movements (
    pipeline TEXT    NOT NULL,
    age      INTEGER NOT NULL,
    hours    INTEGER NOT NULL,
    changed  INTEGER NOT NULL,
    PRIMARY KEY (pipeline, age)
) STRICT, WITHOUT ROWID;

-- What followed from the movements: `refresh::Learned` as JSON.
CREATE TABLE learned (
    pipeline TEXT    NOT NULL PRIMARY KEY,
    learned  TEXT    NOT NULL,
    since    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The (account, hour) of which a staged unit brought no row, as JSON: {"account": [slots]}.
ALTER TABLE units ADD COLUMN empty TEXT NOT NULL DEFAULT '';

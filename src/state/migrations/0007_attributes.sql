-- When the attributes of each account's campaigns were last read and followed in the lake, and how many versions of them
-- there are. `read_at` is the moment at which the platform told them.
CREATE TABLE attribute_readings (
    pipeline   TEXT    NOT NULL,
    account_id TEXT    NOT NULL,
    read_at    INTEGER NOT NULL,
    versions   INTEGER NOT NULL,
    PRIMARY KEY (pipeline, account_id)
) STRICT;

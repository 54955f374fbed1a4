-- What the mean answer of the run took, in milliseconds; null where none came.
ALTER TABLE runs ADD COLUMN latency_ms INTEGER;

-- What an account was found under (a manager, an organisation): requests about it may have to name that.
ALTER TABLE accounts ADD COLUMN parent TEXT NOT NULL DEFAULT '';

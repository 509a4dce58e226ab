"""A real shop's data, landed the way a shop would: files per day, a database, JSON."""

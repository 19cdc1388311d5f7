"""The shape of the database, as numbered steps that are never edited once they were released."""

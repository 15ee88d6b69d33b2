"""The steps of the schema, each in a file."""

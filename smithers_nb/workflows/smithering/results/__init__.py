"""The rows that stages return and later stages read; the field names are Smithers' own."""

"""The rows that the stages give each other, with the field names of Smithers' own."""

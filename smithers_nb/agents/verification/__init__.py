"""What a provider answered, held against the rows: claims, quotes and commands that do not hold are dropped."""

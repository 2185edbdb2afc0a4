"""What to fetch and what it means: pure functions on plain data and DataFrames."""

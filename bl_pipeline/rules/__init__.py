"""What an order means and what to fetch: pure functions on plain data and DataFrames."""

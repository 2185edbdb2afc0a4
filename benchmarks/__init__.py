"""How fast the product is, measured beside what a user would take instead: `make bench`, see docs/performance.md."""

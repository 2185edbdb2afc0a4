"""Tests of the warehouse, against real Postgres servers."""

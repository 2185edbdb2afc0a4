"""The embedded Postgres: its binaries, the server's keeper, and its upgrade to a new major version."""

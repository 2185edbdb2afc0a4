"""What tests share: worlds, processes, expected rows, Postgres servers, the Dagster UI."""

"""The engine: one sync, step by step; `run_sync` is all of them. It needs no orchestrator."""

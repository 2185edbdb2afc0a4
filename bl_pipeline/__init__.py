"""bl_pipeline: every BrickLink sale in the seller's own Postgres warehouse."""

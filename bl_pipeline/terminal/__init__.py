"""What `bl` shows and how it runs things; bl_pipeline.cli has the commands."""

"""What `bl` shows and how it runs things; bl_pipeline.terminal.cli has the commands."""

"""Reports: their files in sql/, the views made of them, how they are read, and their pictures."""

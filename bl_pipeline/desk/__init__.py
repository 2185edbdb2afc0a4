"""The orders desk: a web page for the seller, and JSON endpoints, on the same engine as the command `bl`."""

"""The commands of `warren`, one subject per file."""

"""The store: one directory a run, written by one background thread, read by anybody."""

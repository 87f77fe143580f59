"""The only part that runs torch: a run of a module, recorded."""

"""Reports of stored sweeps; imports nothing, so that `colours` loads without pandas."""

"""The plan of a sweep, its life, and the work that its workers do."""

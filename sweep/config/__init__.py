"""Validated configuration: runs (RunSpec) with their signatures, and settings."""

"""What a configuration can say, checked: runs (RunSpec), signatures and settings."""

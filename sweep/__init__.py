"""Which learning rate, and how many iterations? A tracked sweep answers it."""

__version__ = "0.1.0"

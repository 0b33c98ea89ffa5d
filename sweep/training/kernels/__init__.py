"""Compiled kernels: generated ones for small networks, a general one for any network."""

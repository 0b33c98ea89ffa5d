"""The compiled training kernels: one written for each small network, one general."""

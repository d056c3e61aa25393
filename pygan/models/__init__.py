"""Networks, one module per algorithm."""

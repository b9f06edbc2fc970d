"""Shared state, atomically: keys, scripts and the façade over Redis. Knows no price, limit or category."""

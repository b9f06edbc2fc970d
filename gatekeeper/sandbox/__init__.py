"""A Cloud API look-alike to try the gate against."""

"""Readers of the field's data sets: one module each, all yielding the same record (`listing.py`)."""

"""Layers and functions for one run that are fast, and equal bit for bit, in a stack."""

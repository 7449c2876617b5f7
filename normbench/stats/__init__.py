"""Intervals, outcomes and the edge of the learning rates: arrays in, numbers out."""

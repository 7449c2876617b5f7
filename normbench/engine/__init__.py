"""Trains one stack: the programs of a run, mapped over lanes."""

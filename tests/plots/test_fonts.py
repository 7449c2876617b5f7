"""Titles and names in other scripts: drawn, or replaced by squares with a note."""

from __future__ import annotations

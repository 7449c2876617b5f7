"""From tables to comparisons, verdicts and summaries."""

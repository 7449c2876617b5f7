"""From an experiment to runs with ids, stacks and estimates."""

"""A session: which stacks are trained, in which processes, and what is recorded."""

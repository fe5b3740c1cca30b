"""What is built and undone: containers, scopes, levels, overrides, threads, observers."""

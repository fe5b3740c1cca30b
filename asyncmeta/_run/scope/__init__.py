"""The public scope, and how it has a value the first time."""

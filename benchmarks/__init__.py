"""How far asyncmeta is from code written by hand: ``python -m benchmarks.run``."""

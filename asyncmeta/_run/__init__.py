"""Doing it: the only wing that awaits."""

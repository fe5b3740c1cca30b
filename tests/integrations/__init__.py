"""Integrations, tested against the real libraries."""

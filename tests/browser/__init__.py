"""The pages that we write, opened in a real browser."""

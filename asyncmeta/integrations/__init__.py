"""One room for each outside library; each sees only the front door."""

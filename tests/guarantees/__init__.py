"""What is promised under concurrency, faults and bad input."""

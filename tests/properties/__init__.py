"""What holds for all graphs, found out with random ones."""

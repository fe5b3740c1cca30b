"""What is made of it before anything is built: look-up, the check, the graph, its errors."""

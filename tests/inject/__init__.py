"""Functions whose marked parameters are filled."""

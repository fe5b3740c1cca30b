"""Code that is made for what is asked for again and again."""

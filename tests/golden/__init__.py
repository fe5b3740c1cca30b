"""Small applications, and what every form of output makes of them, in files that one can read."""

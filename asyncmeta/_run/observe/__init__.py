"""Who is told of builds, and who stands around them."""

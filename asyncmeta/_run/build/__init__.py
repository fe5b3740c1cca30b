"""How values come to be, call by call."""

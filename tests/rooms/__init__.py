"""Single rooms, by small inputs made by hand and without a container: what they promise to the rooms above."""

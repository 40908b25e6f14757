"""What changes the values of gradients instead of bounding them, one a file."""

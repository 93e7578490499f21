"""Two answers to the same images: which changed sides, and whether F1 moved."""

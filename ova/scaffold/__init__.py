"""A new workspace from what a person says of labels and images."""

"""From a recipe and its rows to weights, scores and a record."""

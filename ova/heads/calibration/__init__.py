"""From held-out scores to a threshold and to probabilities that mean something."""

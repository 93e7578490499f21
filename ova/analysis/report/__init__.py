"""The page of an ensemble: how good each head is, at every threshold, and what it gets wrong."""

"""The network of a head: backbone, first weights, what is frozen."""

"""Which images are copies of others: by their looks, or by their names."""

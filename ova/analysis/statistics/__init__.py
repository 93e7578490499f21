"""What is in the data: counts, combinations, parts, sizes, brightness, and pairs easily confused."""

"""The search for a better recipe of a head (extra `tune`)."""

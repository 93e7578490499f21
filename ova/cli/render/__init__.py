"""Results of the library as tables, lines or JSON on stdout."""

"""The command line: options -> one library call -> a table, or JSON."""

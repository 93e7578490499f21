"""How good each head really is: tables, curves, a report."""

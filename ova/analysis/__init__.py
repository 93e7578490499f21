"""How good each head really is: figures, curves, a page."""

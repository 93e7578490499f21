"""Run the command line with ``python -m ova``."""

from ova.cli import main

if __name__ == "__main__":
    main()

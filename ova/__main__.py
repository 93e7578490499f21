"""Run the command line with ``python -m ova``."""

from ova.cli.app import main

if __name__ == "__main__":
    main()

"""Run `ova` from a clone without installing the package itself: `python cli.py train crack`."""

from ova.cli.app import main

if __name__ == "__main__":
    main()

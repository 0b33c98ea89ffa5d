"""The entry point: ``python -m sweep`` and the console script ``sweep``."""

from sweep.cli.app import main

if __name__ == "__main__":
    main()

"""``python -m mlcore``."""

from mlcore.cli.app import main

if __name__ == "__main__":
    main()

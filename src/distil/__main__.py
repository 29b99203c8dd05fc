"""`python -m distil` is the `distil` command."""

from distil.cli.main import main

if __name__ == "__main__":
    main()

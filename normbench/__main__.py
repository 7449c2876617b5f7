"""`python -m normbench`, the same as the console script."""

from __future__ import annotations

from normbench.cli import main

if __name__ == "__main__":
    main()

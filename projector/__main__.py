"""Makes `python -m projector` the same as the console script `projector`."""

from __future__ import annotations

from projector.cli import main

if __name__ == "__main__":
    main()

"""`python -m bench`: the whole table."""

from __future__ import annotations

import sys

from bench.table import main

sys.exit(main())

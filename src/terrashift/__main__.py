"""`python -m terrashift` is `terrashift`."""

import sys

from .cli import main

sys.exit(main())

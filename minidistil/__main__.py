"""`python -m minidistil` is the `minidistil` command."""

import sys

from minidistil.cli.main import main

sys.exit(main())

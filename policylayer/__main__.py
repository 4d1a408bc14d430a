"""`python -m policylayer`: the command line. Knows nothing else."""

import sys

from policylayer.cli import main

sys.exit(main())

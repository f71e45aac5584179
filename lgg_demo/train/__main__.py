"""`python -m lgg_demo.train`."""

import sys

from lgg_demo.train.training import main

sys.exit(main())

import sys

from scratchlv.cli import main

sys.exit(main())

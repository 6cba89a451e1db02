"""`python -m tracking.data inspect FILE`."""

import sys

from elbowroom.tracking.data.inspect import main

if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""`python -m segmif_ros.scenes --sheet out.png --benchmark`."""

import sys

from segmif_ros.scenes.contact_sheet import main

sys.exit(main())

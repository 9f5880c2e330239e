# SPDX-License-Identifier: Apache-2.0
"""For all tests: hypothesis judges results and not how busy the machine is."""

from hypothesis import settings

settings.register_profile("segmif", deadline=None)
settings.load_profile("segmif")

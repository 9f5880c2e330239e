# SPDX-License-Identifier: Apache-2.0
"""Sources of image pairs: synthetic road scenes with exact labels, and folders of pairs."""

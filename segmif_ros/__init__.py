# SPDX-License-Identifier: Apache-2.0
# The generated segmif_ros.msg may live beside another copy of this package (a colcon or pip install): let a source
# checkout that shadows that copy still find it. Nothing else belongs in this file.
from pkgutil import extend_path

__path__ = extend_path(__path__, __name__)

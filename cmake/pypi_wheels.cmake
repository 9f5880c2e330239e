# SPDX-License-Identifier: Apache-2.0
# Only for builds against the ROS 2 wheels from PyPI; setup.py injects it with
#   -DCMAKE_PROJECT_segmif_ros_INCLUDE=<this file>
# apt/colcon builds never see it.

function(_segmif_fix_wheel_targets)
  # The wheels' exported *__rosidl_generator_py targets name the Python and NumPy
  # include folders of the machine that built the wheels; CMake refuses those.
  get_property(targets DIRECTORY PROPERTY IMPORTED_TARGETS)
  foreach(target IN LISTS targets)
    if(target MATCHES "__rosidl_generator_py$")
      set_property(TARGET ${target} PROPERTY INTERFACE_INCLUDE_DIRECTORIES "")
    endif()
  endforeach()
  # Nor should ours name this machine's.
  if(TARGET ${PROJECT_NAME}__rosidl_generator_py)
    set_property(TARGET ${PROJECT_NAME}__rosidl_generator_py
      PROPERTY INTERFACE_INCLUDE_DIRECTORIES "")
  endif()
endfunction()
cmake_language(DEFER CALL _segmif_fix_wheel_targets)

# <prefix>/lib/*.so find one another, and so do
# <prefix>/lib/pythonX.Y/site-packages/segmif_ros/*.so and <prefix>/lib/*.so
set(CMAKE_INSTALL_RPATH "$ORIGIN;$ORIGIN/../../..")

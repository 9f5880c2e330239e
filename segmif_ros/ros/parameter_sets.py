# SPDX-License-Identifier: Apache-2.0
"""How a set of parameters is judged: as a whole, and only by what it changes.

rclpy judges each value by itself and refuses a read-only one whatever its value is. So the node's own dump could not be
loaded, and of two values that go together (the low and high end of a range) none could be set.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rcl_interfaces.srv import SetParameters
from rclpy.exceptions import ParameterNotDeclaredException
from rclpy.parameter import Parameter

_NUMBERS = {Parameter.Type.INTEGER, Parameter.Type.DOUBLE}


class ParameterSets:
    """Mixed into a node class before rclpy's."""

    def set_parameters_atomically(self, parameter_list: Sequence[Any]) -> SetParametersResult:
        """Set all or none, and return the result as rclpy does; values that are so already are left out."""
        changed = [each for each in parameter_list if not self._is_so(each)]
        if not changed:
            return SetParametersResult(successful=True)
        return super().set_parameters_atomically(changed)  # type: ignore[misc]

    def set_parameters(self, parameter_list: Sequence[Any]) -> list[SetParametersResult]:
        """Set parameters, and return a result for each: first all together, and where that is refused, one by one."""
        together = self.set_parameters_atomically(parameter_list)
        if together.successful:
            return [together for _ in parameter_list]
        return [self.set_parameters_atomically([each]) for each in parameter_list]

    def create_service(self, srv_type: Any, srv_name: str, callback: Any, *args: Any, **more: Any) -> Any:
        """Offer a service as rclpy does; the one that sets parameters is answered as `set_parameters` does it.

        Args:
            srv_type: As rclpy takes it, like the rest.
            srv_name: Its name.
            callback: As rclpy takes it.
            *args: As rclpy takes them.
            **more: Likewise.
        """
        answer = self._answer_set if srv_type is SetParameters else callback
        return super().create_service(srv_type, srv_name, answer, *args, **more)  # type: ignore[misc]

    def _answer_set(self, request: Any, response: Any) -> Any:
        given = [Parameter.from_parameter_msg(each) for each in request.parameters]
        try:
            response.results = self.set_parameters(given)
        except ParameterNotDeclaredException:  # the others are to be set
            response.results = [self._set_if_declared(each) for each in given]
        return response

    def _set_if_declared(self, parameter: Any) -> SetParametersResult:
        try:
            return self.set_parameters_atomically([parameter])
        except ParameterNotDeclaredException as error:
            return SetParametersResult(successful=False, reason=str(error))

    def _is_so(self, parameter: Any) -> bool:
        if not self.has_parameter(parameter.name):  # type: ignore[attr-defined]
            return False
        present = self.get_parameter(parameter.name)  # type: ignore[attr-defined]
        alike = present.type_ == parameter.type_ or {present.type_, parameter.type_} <= _NUMBERS
        # sequences come as lists, tuples or arrays
        same = [list(each.value) if hasattr(each.value, "__len__") else each.value for each in (present, parameter)]
        return alike and parameter.type_ != Parameter.Type.NOT_SET and same[0] == same[1]

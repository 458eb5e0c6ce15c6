"""MLX's graph, as ``mx.export_function`` hands it to a callback, as an ONNX model; PyTorch is not needed."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import mlx.core as mx
import numpy as np

from ncps_mlx._utils.optional import import_optional

__all__ = ["evaluate_onnx", "to_onnx"]

OPSET, IR_VERSION = 18, 10  # of 2023 and 2024: read by every runtime in use

SAME = {
    "Abs": "Abs",
    "Add": "Add",
    "Copy": "Identity",
    "Divide": "Div",
    "Erf": "Erf",
    "Exp": "Exp",
    "Log": "Log",
    "Matmul": "MatMul",
    "Maximum": "Max",
    "Minimum": "Min",
    "Multiply": "Mul",
    "Negative": "Neg",
    "Power": "Pow",
    "Select": "Where",
    "Sigmoid": "Sigmoid",
    "Sqrt": "Sqrt",
    "StopGradient": "Identity",
    "Subtract": "Sub",
    "Tanh": "Tanh",
}
"""Operations that ONNX has, by MLX's name."""

RESHAPED = ("ExpandDims", "Flatten", "Reshape", "Squeeze", "Unflatten")
BROADCAST = ("Broadcast", "Full")
SUM = 2  # the code of a sum among MLX's reductions

Node = dict[str, Any]


def _onnx() -> Any:
    return import_optional("onnx", "export(form='onnx')", "export")


class Graph:
    """An ONNX graph while it is made."""

    def __init__(self) -> None:
        self.onnx = _onnx()
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._numbers = itertools.count()

    def constant(self, array: Any, name: str = "") -> str:
        """Keep an array and return its name."""
        name = name or f"constant_{next(self._numbers)}"
        self.constants.append(self.onnx.numpy_helper.from_array(np.array(array), name))
        return name

    def integers(self, values: Sequence[int]) -> str:
        """Keep a shape or a list of axes."""
        return self.constant(np.array(list(values), dtype=np.int64))

    def node(self, operation: str, *inputs: str, outputs: Sequence[str] = (), **attributes: Any) -> str:
        """Add an operation and return its first output's name."""
        outputs = list(outputs) or [f"value_{next(self._numbers)}"]
        self.nodes.append(self.onnx.helper.make_node(operation, list(inputs), outputs, **attributes))
        return outputs[0]


def to_onnx(graph: Sequence[Node], inputs: Sequence[str], outputs: Sequence[str], *, name: str) -> bytes:
    """Write a traced graph as an ONNX model, its inputs and outputs named."""
    made = Graph()
    helper = made.onnx.helper
    parts: dict[str, list[Any]] = {"primitive": []}
    for each in graph:
        if each["type"] == "primitive":
            parts["primitive"].append(each)
        elif each["type"] in each:
            parts[each["type"]] = each[each["type"]]
    for key, array in parts["constants"]:
        made.constant(array, f"mlx_{key}")
    for given, (key, _, _) in zip(inputs, parts["inputs"], strict=True):
        made.node("Identity", given, outputs=[f"mlx_{key}"])
    for each in parts["primitive"]:
        _convert(made, each)
    for given, (key, _, _) in zip(outputs, parts["outputs"], strict=True):
        made.node("Identity", f"mlx_{key}", outputs=[given])

    def described(names: Sequence[str], arrays: Sequence[Any]) -> list[Any]:
        number = made.onnx.TensorProto.FLOAT
        pairs = zip(names, arrays, strict=True)
        return [helper.make_tensor_value_info(each, number, list(shape)) for each, (_, shape, _) in pairs]

    model = helper.make_model(
        helper.make_graph(
            made.nodes,
            name,
            described(inputs, parts["inputs"]),
            described(outputs, parts["outputs"]),
            made.constants,
        ),
        producer_name="ncps-mlx",
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    made.onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def evaluate_onnx(content: bytes, inputs: dict[str, mx.array]) -> list[Any]:
    """The outputs of an ONNX model, by the evaluator of the package ``onnx``."""
    _onnx()
    reference = import_optional("onnx.reference", "export(form='onnx')", "export")
    evaluator = reference.ReferenceEvaluator(content)
    return list(evaluator.run(None, {name: np.array(array) for name, array in inputs.items()}))


def _convert(made: Graph, node: Node) -> None:
    """Add one of MLX's operations."""
    name, arguments = node["name"], node["arguments"]
    inputs = [f"mlx_{key}" for key, _, _ in node["inputs"]]
    outputs = [f"mlx_{key}" for key, _, _ in node["outputs"]]
    shape = node["outputs"][0][1]
    if name in SAME:
        made.node(SAME[name], *inputs, outputs=outputs)
    elif name in RESHAPED:
        made.node("Reshape", inputs[0], made.integers(shape), outputs=outputs)
    elif name in BROADCAST:
        made.node("Expand", inputs[0], made.integers(shape), outputs=outputs)
    elif name in CONVERTED:
        CONVERTED[name](made, inputs, outputs, arguments, node)
    else:
        raise ValueError(
            f"model must be made of operations known in ONNX, got MLX's {name} {arguments}. Write it with form='mlxfn'."
        )


def _add_product(made: Graph, inputs: list[str], outputs: list[str], arguments: list[Any], node: Node) -> None:
    alpha, beta = arguments
    if len(node["outputs"][0][1]) == 2:
        made.node("Gemm", *inputs, outputs=outputs, alpha=alpha, beta=beta)
        return
    product = made.node("MatMul", *inputs[:2])
    scaled = [
        made.node("Mul", value, made.constant(np.float32(factor))) if factor != 1 else value
        for value, factor in ((product, alpha), (inputs[2], beta))
    ]
    made.node("Add", *scaled, outputs=outputs)


def _slice(made: Graph, inputs: list[str], outputs: list[str], arguments: list[Any], _node: Node) -> None:
    starts, ends, steps = arguments
    # Backwards an end before the first element stands there as -1, which for ONNX would be the last one.
    ends = [end if step > 0 or end >= 0 else -(2**31) for end, step in zip(ends, steps, strict=True)]
    axes = range(len(starts))
    made.node("Slice", inputs[0], *map(made.integers, (starts, ends, axes, steps)), outputs=outputs)


def _split(made: Graph, inputs: list[str], outputs: list[str], arguments: list[Any], node: Node) -> None:
    axis = arguments[-1]
    sizes = [shape[axis] for _, shape, _ in node["outputs"]]
    made.node("Split", inputs[0], made.integers(sizes), outputs=outputs, axis=axis)


def _reduce(made: Graph, inputs: list[str], outputs: list[str], arguments: list[Any], _node: Node) -> None:
    code, axes = arguments
    if code != SUM:
        raise ValueError(f"model must reduce by sums alone for ONNX, got MLX's reduction {code}.")
    made.node("ReduceSum", inputs[0], made.integers(axes), outputs=outputs, keepdims=1)


def _log_add_exp(made: Graph, inputs: list[str], outputs: list[str], _arguments: list[Any], _node: Node) -> None:
    distance = made.node("Abs", made.node("Sub", *inputs))
    made.node(
        "Add", made.node("Max", *inputs), made.node("Softplus", made.node("Neg", distance)), outputs=outputs
    )


def _transpose(made: Graph, inputs: list[str], outputs: list[str], arguments: list[Any], _node: Node) -> None:
    made.node("Transpose", inputs[0], outputs=outputs, perm=list(arguments[0]))


def _concatenate(made: Graph, inputs: list[str], outputs: list[str], arguments: list[Any], _node: Node) -> None:
    made.node("Concat", *inputs, outputs=outputs, axis=arguments[0])


def _log1p(made: Graph, inputs: list[str], outputs: list[str], _arguments: list[Any], _node: Node) -> None:
    made.node("Log", made.node("Add", inputs[0], made.constant(np.float32(1))), outputs=outputs)


def _square(made: Graph, inputs: list[str], outputs: list[str], _arguments: list[Any], _node: Node) -> None:
    made.node("Mul", inputs[0], inputs[0], outputs=outputs)


CONVERTED: dict[str, Callable[[Graph, list[str], list[str], list[Any], Node], None]] = {
    "AddMM": _add_product,
    "Concatenate": _concatenate,
    "Log1p": _log1p,
    "LogAddExp": _log_add_exp,
    "Reduce": _reduce,
    "Slice": _slice,
    "Split": _split,
    "Square": _square,
    "Transpose": _transpose,
}
"""Operations that take arguments, or that ONNX writes otherwise."""

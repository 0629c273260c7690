"""Estimators of scikit-learn as ONNX: skl2onnx for all but gradient boosting, whose trees are written here.

Legend: b rows, f features, k labels.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from studio.core.errors import UserError
from studio.models.predictors.base import PredictorInfo

# ai.onnx.ml 5 has trees with sets of categories; 3 is what skl2onnx writes for everything else.
_OPSET, _ML, _TREES = 18, 3, 5
_LEQ, _MEMBER = 0, 6


def is_boosting(estimator: Any) -> bool:
    """Whether it is gradient boosting on histograms."""
    return type(estimator).__name__.startswith("HistGradientBoosting")


def estimator_dtype(estimator: Any) -> Literal["float32", "float64"]:
    """Number type of the features. Trees of boosting compare in 64 bits, and a rounded number may fall on the other side."""
    return "float64" if is_boosting(estimator) else "float32"


def estimator_onnx(estimator: Any, info: PredictorInfo) -> Any:
    """An ``onnx.ModelProto`` from ``features`` to ``probabilities`` [b, k] or ``value`` [b].

    Raises:
        UserError: skl2onnx cannot write an estimator of this kind.
    """
    if is_boosting(estimator):
        return _boosting(estimator, info)
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType
    from skl2onnx.common.exceptions import MissingConverter, MissingShapeCalculator

    given = [("features", FloatTensorType([None, int(estimator.n_features_in_)]))]
    options = {"zipmap": False} if info.task == "labels" else None
    try:
        model = to_onnx(estimator, initial_types=given, options=options, target_opset={"": _OPSET, "ai.onnx.ml": _ML})
    except (MissingConverter, MissingShapeCalculator, NotImplementedError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"skl2onnx cannot write a {type(estimator).__name__} ({reason}), so this run has no ONNX form."
        ) from error
    return _tail(model, info)


def _tail(model: Any, info: PredictorInfo) -> Any:
    """The model with one output, named and shaped as all predictors have it."""
    from onnx import TensorProto, helper

    graph = model.graph
    del graph.output[:]
    rows: Any = "batch"
    graph.input[0].type.tensor_type.shape.dim[0].dim_param = rows
    if info.task == "labels":
        graph.output.append(helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [rows, len(info.labels)]))
        # The label itself is chosen outside, where a threshold is known; what only made it is left out.
        _without_unused(graph)
        return model
    graph.node.append(helper.make_node("Reshape", ["variable", "all"], ["plain"]))
    graph.initializer.append(helper.make_tensor("all", TensorProto.INT64, [1], [-1]))
    graph.node.append(helper.make_node("Exp" if info.extra.get("log_target") else "Identity", ["plain"], ["value"]))
    graph.output.append(helper.make_tensor_value_info("value", TensorProto.FLOAT, [rows]))
    return model


def _without_unused(graph: Any) -> None:
    """Take out nodes and numbers that no output needs any more."""
    while True:
        needed = {name for node in graph.node for name in node.input} | {one.name for one in graph.output}
        gone = [node for node in graph.node if not set(node.output) & needed]
        for node in gone:
            graph.node.remove(node)
        if not gone:
            break
    for one in [one for one in graph.initializer if one.name not in needed]:
        graph.initializer.remove(one)


def _boosting(estimator: Any, info: PredictorInfo) -> Any:
    """Gradient boosting in 64 bits: the sum of all trees and the start value, then what makes probabilities of it."""
    from onnx import TensorProto, helper, numpy_helper

    start = np.asarray(estimator._baseline_prediction, dtype=np.float64).reshape(1, -1)
    targets = start.shape[1]
    trees = helper.make_node("TreeEnsemble", ["features"], ["sums"], domain="ai.onnx.ml", **_trees(estimator, targets))
    nodes = [trees, helper.make_node("Add", ["sums", "start"], ["raw"])]
    numbers = [numpy_helper.from_array(start, "start")]
    if info.task == "numbers":
        numbers.append(numpy_helper.from_array(np.array([-1]), "all"))
        nodes += [
            helper.make_node("Reshape", ["raw", "all"], ["plain"]),
            helper.make_node("Exp" if info.extra.get("log_target") else "Identity", ["plain"], ["exact"]),
        ]
    elif targets == 1:
        nodes += [
            helper.make_node("Neg", ["raw"], ["against"]),
            helper.make_node("Concat", ["against", "raw"], ["both"], axis=1),
            helper.make_node("Sigmoid", ["both"], ["exact"]),
        ]
    else:
        nodes.append(helper.make_node("Softmax", ["raw"], ["exact"], axis=1))
    name, shape = ("value", ["batch"]) if info.task == "numbers" else ("probabilities", ["batch", len(info.labels)])
    nodes.append(helper.make_node("Cast", ["exact"], [name], to=TensorProto.FLOAT))
    given = helper.make_tensor_value_info("features", TensorProto.DOUBLE, ["batch", int(estimator.n_features_in_)])
    graph = helper.make_graph(
        nodes, "boosting", [given], [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)], numbers
    )
    opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid("ai.onnx.ml", _TREES)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


class _Ensemble:
    """Inner nodes and leaves of all trees in two lists; a node says for each side which entry follows, and if it is a leaf."""

    def __init__(self, categories: dict[int, list[float]]) -> None:
        """``categories``: known values of each feature that is one, in the order in which trees number them."""
        self.categories = categories
        self.inner: list[dict[str, Any]] = []
        self.leaves: list[tuple[int, float]] = []
        self.sets: list[float] = []
        self.roots: list[int] = []

    def add(self, tree: Any, target: int) -> None:
        """Add a tree that adds to a target."""
        place, leaf = self._place(tree, 0, target)
        if leaf:  # a tree must begin with a node: both of its sides are the leaf
            node = {"feature": 0, "mode": _LEQ, "split": 0.0, "missing": 0, "true": (place, True), "false": (place, True)}
            self.inner.append(node)
            place = len(self.inner) - 1
        self.roots.append(place)

    def _place(self, tree: Any, number: int, target: int) -> tuple[int, bool]:
        """Add a node and what lies below it: its place, and whether it is a leaf."""
        node = tree.nodes[number]
        if node["is_leaf"]:
            self.leaves.append((target, float(node["value"])))
            return len(self.leaves) - 1, True
        here, missing = len(self.inner), bool(node["missing_go_to_left"])
        made: dict[str, Any] = {"feature": int(node["feature_idx"]), "mode": _LEQ, "missing": int(missing)}
        self.inner.append(made)
        first, second = "left", "right"
        if node["is_categorical"]:
            left, right = self._sides(tree, node)
            # What is in no set, unknown values too, goes where missing ones go: to the side that is not asked for.
            if missing:
                first, second = "right", "left"
            self.sets += [*(right if missing else left), np.nan]
            made |= {"mode": _MEMBER, "split": 0.0, "missing": 0}
        else:
            made["split"] = float(node["num_threshold"])
        made["true"] = self._place(tree, int(node[first]), target)
        made["false"] = self._place(tree, int(node[second]), target)
        return here, False

    def _sides(self, tree: Any, node: Any) -> tuple[list[float], list[float]]:
        """Known values that go left, and right."""
        words = tree.raw_left_cat_bitsets[int(node["bitset_idx"])]  # 8 words of 32 bits
        left: list[float] = []
        right: list[float] = []
        for number, value in enumerate(self.categories[int(node["feature_idx"])]):
            (left if int(words[number // 32]) >> (number % 32) & 1 else right).append(value)
        return left, right

    def attributes(self, targets: int) -> dict[str, Any]:
        """As the operation takes them."""
        from onnx import numpy_helper

        def tensor(values: list[Any], dtype: type[Any], name: str) -> Any:
            return numpy_helper.from_array(np.array(values, dtype=dtype), name)

        found: dict[str, Any] = {"n_targets": targets, "aggregate_function": 1, "post_transform": 0, "tree_roots": self.roots}
        found |= {"nodes_featureids": [node["feature"] for node in self.inner]}
        found |= {"nodes_modes": tensor([node["mode"] for node in self.inner], np.uint8, "modes")}
        found |= {"nodes_splits": tensor([node["split"] for node in self.inner], np.float64, "splits")}
        found |= {"nodes_missing_value_tracks_true": [node["missing"] for node in self.inner]}
        for side in ("true", "false"):
            found |= {f"nodes_{side}nodeids": [node[side][0] for node in self.inner]}
            found |= {f"nodes_{side}leafs": [int(node[side][1]) for node in self.inner]}
        found |= {"leaf_targetids": [target for target, _ in self.leaves]}
        found |= {"leaf_weights": tensor([weight for _, weight in self.leaves], np.float64, "weights")}
        return found | ({"membership_values": tensor(self.sets, np.float64, "members")} if self.sets else {})


def _trees(estimator: Any, targets: int) -> dict[str, Any]:
    """Attributes of ONNX's ``TreeEnsemble`` (https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsemble.html)."""
    ensemble = _Ensemble(_categories(estimator))
    # There is no public way to the trees; the studio's own form on disk reads the same lists.
    for stage in estimator._predictors:
        for target, tree in enumerate(stage):
            ensemble.add(tree, target)
    return ensemble.attributes(targets)


def _categories(estimator: Any) -> dict[int, list[float]]:
    """Known values of each feature that holds categories; the estimator numbers them anew before its trees see them."""
    if getattr(estimator, "is_categorical_", None) is None:
        return {}
    places = np.flatnonzero(estimator.is_categorical_)
    assert places.tolist() == list(range(len(places))), "categories stand first in every preparation"
    encoder = estimator._preprocessor.named_transformers_["encoder"]
    return {int(place): [float(value) for value in values] for place, values in enumerate(encoder.categories_)}

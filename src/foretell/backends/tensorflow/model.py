"""A signature of a SavedModel, run in a session of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from foretell.backends.array_model import ArrayModel, Arrays
from foretell.backends.array_probe import probed
from foretell.backends.artefact_bytes import digest_of
from foretell.backends.feeds import Feed, feed_of
from foretell.backends.first_axis import Dims, rule_of, tensor_of
from foretell.backends.model_settings import refuse_tuning
from foretell.backends.quiet_tensorflow import import_tensorflow
from foretell.backends.tensorflow.graph import check_graph, graph_to_serve, handles_of, init_of, signature_of
from foretell.columns import Array, Column
from foretell.config import ModelSettings
from foretell.cores import usable_cores
from foretell.errors import InferenceError, InvalidInput, InvalidModel, ModelError, RowError, Unavailable
from foretell.types import DataType, ModelSpec, TensorSpec

_TYPES = {
    1: DataType.FP32, 2: DataType.FP64, 3: DataType.INT32, 4: DataType.UINT8, 5: DataType.INT16, 6: DataType.INT8,
    7: DataType.BYTES, 9: DataType.INT64, 10: DataType.BOOL, 14: DataType.BF16, 17: DataType.UINT16, 19: DataType.FP16,
    22: DataType.UINT32, 23: DataType.UINT64,
}  # fmt: skip
"""By the numbers of `DataType` in tensorflow/core/framework/types.proto."""


class TensorflowModel(ArrayModel):
    """Inputs and outputs have the names that the signature gives them; texts are BYTES.

    What was checked is what runs: the graph is read once, and not by TensorFlow's own loader. Any number of threads
    may call: "a Session allows concurrent calls to Run()" (tensorflow/core/public/session.h). Its threads are its own.
    """

    def __init__(self, folder: Path, digest: str, settings: ModelSettings) -> None:
        super().__init__(folder.name, settings)
        refuse_tuning(settings, "TensorFlow", takes=("threads",))
        self._folder, self._digest = folder, digest
        self._session: Any = None
        self._run_session: Any = None
        self._bf16: tuple[set[str], Any] = (set(), None)

    def load(self, device: str) -> None:
        """Raises `Unavailable` for another device than the CPU, `UnsafeModel` for operators that do more than compute
        and that nobody agreed to, `InvalidModel`, `MissingExtra`."""
        if device != "cpu":
            raise Unavailable("TensorFlow models run on the CPU", where=self._where, expected="cpu", got=device)
        tensorflow = import_tensorflow("a TensorFlow model")
        if digest_of(self._folder) != self._digest:
            raise InvalidModel("it changed since it was opened", where=str(self._folder), fix="open it again")
        graph = graph_to_serve(_read(self._folder), str(self._folder))
        signature = signature_of(graph, str(self._folder))
        agreed = self._settings.allow_pickle and self._settings.sha256 is not None
        same = agreed or check_graph(graph, signature, str(self._folder))
        spec = _spec(signature, str(self._folder))
        self._session = self._started(tensorflow, graph)
        names = {**signature.inputs, **signature.outputs}
        inputs, outputs = spec.inputs or (), spec.outputs or ()
        bf16 = {each.name for each in (*inputs, *outputs) if each.datatype is DataType.BF16}
        self._bf16 = bf16, tensorflow.bfloat16.as_numpy_dtype
        self._inputs, self._answers = [each.name for each in inputs], [each.name for each in outputs]
        self._run_session = self._session.make_callable(
            [names[name].name for name in self._answers], feed_list=[names[name].name for name in self._inputs]
        )
        found = probed(spec, self._call, check_rows=self._settings.batch is None)
        self._loaded(found.with_changes(concurrent=True, deterministic=same))

    def _feed(self, column: Column, spec: TensorSpec, errors: dict[int, RowError]) -> Feed:
        """Its strings are bytes: images, and examples in protocol buffers, as often as text."""
        return feed_of(column, spec, errors, alone=self.spec.batch in (None, 1), text=False)

    def _started(self, tensorflow: Any, found: Any) -> Any:
        """A session with the graph, its weights and its tables."""
        v1 = tensorflow.compat.v1
        threads = self._settings.threads or usable_cores()
        config = v1.ConfigProto(
            intra_op_parallelism_threads=threads,
            inter_op_parallelism_threads=1,
            use_per_session_threads=True,
            allow_soft_placement=True,
            device_count={"GPU": 0},
        )
        graph = tensorflow.Graph()
        session = None
        try:
            with graph.as_default():
                tensorflow.graph_util.import_graph_def(found.graph_def, name="")
            session = v1.Session(graph=graph, config=config)
            if found.HasField("saver_def") and (self._folder / "variables").is_dir():
                weights = str(self._folder / "variables" / "variables")
                session.run(found.saver_def.restore_op_name, {found.saver_def.filename_tensor_name: weights})
            if (init := init_of(found)) is not None:
                session.run(graph.get_operation_by_name(init), _assets(found, self._folder))
            self._check_weights(v1, session, found)
        except Exception as error:
            if session is not None:
                session.close()
            if isinstance(error, InferenceError):
                raise
            text = f"TensorFlow {tensorflow.__version__} refuses it: {_first(error)}"
            raise InvalidModel(text, where=str(self._folder)) from error
        return session

    def _check_weights(self, v1: Any, session: Any, found: Any) -> None:
        """Raises `InvalidModel` where its answer reads weights that nothing has filled."""
        graph = session.graph
        read = sorted(handles_of(found, signature_of(found, str(self._folder))))
        with graph.as_default():
            there = [v1.raw_ops.VarIsInitializedOp(resource=graph.get_tensor_by_name(f"{name}:0")) for name in read]
        empty = [name for name, full in zip(read, session.run(there), strict=True) if not full]
        if empty:
            fix = "a Keras model is saved by model.export, or by model.save as .keras"
            got = ", ".join(empty[:3])
            raise InvalidModel("it does not fill the weights of its answer", where=str(self._folder), got=got, fix=fix)

    def _call(self, feeds: Arrays) -> Arrays:
        run, (bf16, kind) = self._run_session, self._bf16
        if run is None:
            raise ModelError("the model is closed", where=self._where)
        found = run(*(feeds[name].view(kind) if name in bf16 else feeds[name] for name in self._inputs))
        answers: dict[str, Array] = {}
        for name, each in zip(self._answers, found, strict=True):
            array = np.asarray(each)
            answers[name] = array.view(np.uint16) if name in bf16 else array
        return answers

    def _raised(self, error: Exception) -> InferenceError:
        if type(error).__name__ == "InvalidArgumentError":
            return InvalidInput(f"TensorFlow refuses the input: {_first(error)}", where=self._where)
        return ModelError(f"TensorFlow failed: {type(error).__name__}: {_first(error)}", where=self._where)

    def _unload(self) -> None:
        session, self._session, self._run_session = self._session, None, None
        if session is not None:
            session.close()

    def _variant(self) -> Mapping[str, str]:
        tensorflow = import_tensorflow("a TensorFlow model")
        return {"tensorflow": tensorflow.__version__, "numpy": np.__version__}


def _read(folder: Path) -> Any:
    from tensorflow.core.protobuf import saved_model_pb2

    found = saved_model_pb2.SavedModel()
    try:
        found.ParseFromString((folder / "saved_model.pb").read_bytes())
    except OSError as error:
        raise InvalidModel("the file cannot be read", where=str(folder), got=error.strerror or error) from error
    except Exception as error:
        text = "saved_model.pb is no SavedModel, or half of one"
        raise InvalidModel(text, where=str(folder), expected="what tf.saved_model.save writes") from error
    return found


def _assets(graph: Any, folder: Path) -> dict[str, str]:
    """The paths of the files that come with it, by the tensors that want them."""
    found = {}
    for each in graph.asset_file_def:
        path = folder / "assets" / each.filename
        if path.resolve().parent != (folder / "assets").resolve():
            raise InvalidModel("an asset lies outside its folder", where=str(folder), got=each.filename)
        found[each.tensor_info.name] = str(path)
    return found


def _spec(signature: Any, where: str) -> ModelSpec:
    """What the signature declares. Raises `InvalidModel` for what is no tensor of a known type."""
    sides = [{name: _declared(name, each, where) for name, each in part.items()}
             for part in (signature.inputs, signature.outputs)]  # fmt: skip
    inputs, outputs = sides
    batch = rule_of([shape for _, shape in inputs.values()], [shape for _, shape in outputs.values()])
    return ModelSpec(
        inputs=tuple(tensor_of(name, *inputs[name], batch) for name in sorted(inputs)),
        outputs=tuple(tensor_of(name, *outputs[name], batch) for name in sorted(outputs)),
        batch=batch,
    )


def _declared(name: str, info: Any, where: str) -> tuple[DataType, Dims]:
    kind = _TYPES.get(info.dtype)
    if kind is None or info.WhichOneof("encoding") != "name":
        got = info.WhichOneof("encoding") or "nothing"
        got = f"type {info.dtype}" if got == "name" else got
        raise InvalidModel(f"{name!r} is no tensor that can be served", where=where, expected="a dense tensor", got=got)
    if info.tensor_shape.unknown_rank:
        return kind, None
    return kind, tuple(None if dim.size < 0 else int(dim.size) for dim in info.tensor_shape.dim)


def _first(error: Exception) -> str:
    """The first line of what TensorFlow says, without the graph around it."""
    text = str(getattr(error, "message", "") or error).strip().partition("\n")[0]
    return text[:300] or type(error).__name__

"""Fitted scikit-learn estimators and pipelines."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

import numpy as np

from foretell.backends.frame import named_array
from foretell.backends.learned_outputs import LearnedOutputs, datatype_of, shape_of
from foretell.backends.model_settings import refuse_tuning, with_settings
from foretell.backends.sklearn.answers import Answers, answers_of, class_names
from foretell.backends.sklearn.columns import steps_of
from foretell.backends.sklearn.inputs import Inputs, read_inputs, without_names
from foretell.backends.text_rows import answer_others, rows_without_text
from foretell.columns import Array, Batch, Column, copied
from foretell.config import ModelSettings
from foretell.errors import InferenceError, InvalidInput, InvalidModel, ModelError, NotReady, Unavailable
from foretell.extras import needs
from foretell.forms.values import to_column
from foretell.model import Context, Model
from foretell.types import ModelSpec, TensorSpec
from foretell.warning_filters import alone, within

_TOGETHER = {"NMF", "MiniBatchNMF"}
"""They work on all rows of a call until these together are near enough to an end."""


class SklearnModel(Model):
    """Inputs: `input` FP64 [rows, n]; or `text` BYTES [rows]; or one tensor [rows] for each column of a mixed table,
    or for each field of the rows that a `DictVectorizer` takes.

    Outputs: see `sklearn_answers`. Runs on the CPU, under the interpreter's lock. The same estimator may answer from
    several threads where every step is scikit-learn's own: `predict` and `transform` only read what `fit` left.
    """

    forks = True
    _changes_filters = False
    """Whether a part asks others through scikit-learn's `Parallel`, which has Python's warning filters put aside in
    each call and put back (https://github.com/scikit-learn/scikit-learn/issues/32631). Of somebody else's code, which
    may hang, nothing is known: others are not to wait for it."""

    def __init__(self, read: Callable[[], Any], where: str, settings: ModelSettings) -> None:
        refuse_tuning(settings, "a scikit-learn model")
        self._read = read
        self._where = where
        self._settings = settings
        self._made_with: str | None = None
        self._answers: Answers | None = None

    @classmethod
    def live(cls, estimator: Any, settings: ModelSettings, where: str) -> SklearnModel:
        """Raises `InvalidModel` for an estimator that is not fitted."""
        check_estimator(estimator, where)
        return cls(lambda: estimator, where, settings)

    def load(self, device: str) -> None:
        """Raises `Unavailable` for another device than the CPU, `InvalidModel` for what is no fitted estimator."""
        if device != "cpu":
            raise Unavailable("scikit-learn computes on the CPU", where=self._where, expected="cpu", got=device)
        read, self._read = self._read, self._spent  # the bytes of a file are not needed twice
        estimator, self._made_with = with_versions(read, self._where)
        check_estimator(estimator, self._where)
        self._inputs = read_inputs(estimator, self._where)
        bare = estimator if self._inputs.named else without_names(estimator)
        self._answers = answers_of(bare, self._where)
        parts = _parts(estimator)
        self._standard = all(type(step).__module__.startswith("sklearn.") for step in parts)
        self._changes_filters = self._standard and any(hasattr(part, "n_jobs") for part in parts)
        told = probe(self._answers, self._inputs, estimator, self._where)
        self._outputs = LearnedOutputs(told)
        names = class_names(steps_of(estimator)[-1]) if steps_of(estimator) else None
        wide = any(spec.name == "probabilities" and spec.shape == (len(names or ()),) for spec in told or ())
        spec = ModelSpec(
            inputs=self._inputs.specs or None,
            outputs=told,
            row_wise=not any(type(step).__name__ in _TOGETHER for step in parts),
            concurrent=self._standard,
            labels={"probabilities": names} if names is not None and wide else None,
            features=self._inputs.features,
            unused=self._inputs.unused,
        )
        self.spec = with_settings(spec, self._settings)

    def predict(self, batch: Batch, ctx: Context) -> Batch:
        """Raises `InvalidInput` for values that scikit-learn refuses, `ModelError` for anything else it raises."""
        if self._answers is None:
            raise NotReady("the model is not loaded, or closed", where=self._where)
        if not batch.rows:
            return Batch(self._outputs.blank(0) if self._outputs.known else {}, 0)
        answers = self._answers
        bad = rows_without_text(batch, [spec.name for spec in self._inputs.specs])
        return answer_others(batch, bad, lambda rest: self._answered(answers, rest))

    def close(self) -> None:
        self._answers = None

    def _answered(self, compute: Answers, batch: Batch) -> Batch:
        try:
            rows = self._inputs.arrange(batch)
            with alone() if self._changes_filters else nullcontext():
                answers = compute(rows)
        except InferenceError:
            raise
        except Exception as error:
            raise self._raised(error) from error
        columns = to_columns(answers, self._where)
        answer = Batch(self._learn(columns), batch.rows, batch.errors)
        return answer if self._standard else copied(answer)  # others may answer with an array that they keep

    def variant(self) -> Mapping[str, str]:
        import sklearn

        made_with = {} if self._made_with is None else {"made_with": f"scikit-learn {self._made_with}"}
        return {"scikit-learn": sklearn.__version__, "numpy": np.__version__, **made_with}

    def _spent(self) -> Any:
        raise NotReady("a model is loaded once", where=self._where, fix="open it again")

    def _learn(self, columns: dict[str, Column]) -> dict[str, Column]:
        fitted = self._outputs.learn(columns, self._where)
        if self.spec.outputs is not self._outputs.specs:
            self.spec = self.spec.with_changes(outputs=self._outputs.specs)
        return fitted

    def _raised(self, error: Exception) -> InferenceError:
        text = str(error).strip().partition("\n")[0] or type(error).__name__
        if self._standard and isinstance(error, ValueError):
            return InvalidInput(f"scikit-learn refuses the input: {text}", where=self._where)
        return ModelError(f"{type(error).__name__}: {text}", where=self._where)


def check_estimator(estimator: Any, where: str) -> None:
    """Raises `InvalidModel` for what is no estimator or is not fitted, `MissingExtra` without scikit-learn."""
    with needs("scikit-learn", "sklearn", "a scikit-learn model"):
        from sklearn.exceptions import NotFittedError
        from sklearn.utils.validation import check_is_fitted
    if isinstance(estimator, type) or not (hasattr(estimator, "get_params") and hasattr(estimator, "fit")):
        got = type(estimator).__name__
        raise InvalidModel("it holds no estimator", where=where, expected="a fitted scikit-learn estimator", got=got)
    try:
        check_is_fitted(estimator)
    except NotFittedError as error:
        name = type(estimator).__name__
        raise InvalidModel(f"{name} is not fitted", where=where, fix="call fit before you hand it over") from error


def with_versions(read: Callable[[], Any], where: str) -> tuple[Any, str | None]:
    """What `read` gives, and the scikit-learn version that wrote it where that is another: one warning for all steps.

    What others warn of meanwhile is recorded, too, so this belongs into loading, never into a call.
    """
    with needs("scikit-learn", "sklearn", "a scikit-learn model"):
        from sklearn.exceptions import InconsistentVersionWarning
    with within(warnings.catch_warnings(record=True, action="always")) as caught:
        value = read()
    made_with = None
    for warning in caught or ():
        if isinstance(warning.message, InconsistentVersionWarning):
            made_with = str(warning.message.original_sklearn_version)
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    if made_with is not None:
        import sklearn

        text = f"{where}: made with scikit-learn {made_with}, runs on {sklearn.__version__}; its answers may differ"
        warnings.warn(f"{text}; install that version, or train it again", UserWarning, stacklevel=2)
    return value, made_with


def to_columns(answers: Mapping[str, Array], where: str) -> dict[str, Column]:
    try:
        return {name: to_column(array, where=f"output {name!r}") for name, array in answers.items()}
    except InvalidInput as error:
        raise ModelError(f"its answer is no tensor: {error}", where=where) from error


def probe(answers: Answers, inputs: Inputs, estimator: Any, where: str) -> tuple[TensorSpec, ...] | None:
    """The outputs, as one row of zeros shows them; None where zeros are no input and the first call has to tell.

    Where the inputs are no numbers, the row of zeros goes into the last step, which only knows numbers.
    """
    whole = inputs.layout == "array"
    last = estimator if whole else steps_of(estimator)[-1]
    count, names = getattr(last, "n_features_in_", None), getattr(last, "feature_names_in_", None)
    if count is None:
        return None
    zeros = np.zeros((1, count))
    with alone(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            if whole:
                found = answers(zeros if inputs.names is None else named_array(zeros, inputs.names))
            else:
                found = answers_of(last, where)(zeros if names is None else named_array(zeros, list(names)))
            columns = to_columns(found, where)
        except InferenceError:
            raise
        except Exception:  # zeros are not an input of this model, which says nothing about its own inputs
            return None
    return tuple(TensorSpec(name, datatype_of(column), shape_of(column)) for name, column in columns.items())


def _parts(estimator: Any) -> list[Any]:
    """The estimator, all estimators inside it, and the functions it was given."""
    parts = [estimator]
    for value in estimator.get_params(deep=True).values():
        if hasattr(value, "get_params") or (callable(value) and not isinstance(value, type)):
            parts.append(value)
    return parts

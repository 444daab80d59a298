"""Saves the models that tests host: `python save.py FOLDER` in an environment with MLflow.

One folder per model, each as MLflow writes it: `MLmodel`, signature, requirements, weights. Classes
are pickled by value, so nothing of this file is needed where a model runs.
"""

import sys
import time
from importlib.metadata import version
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pydantic
from mlflow.models import ModelSignature, infer_signature
from mlflow.pyfunc import ChatAgent, ChatModel, PythonModel, ResponsesAgent
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec
from mlflow.types.agent import ChatAgentChunk, ChatAgentMessage, ChatAgentResponse
from mlflow.types.llm import ChatCompletionChunk, ChatCompletionResponse
from mlflow.types.schema import Array, Map, Object, Property

try:
    from mlflow.types.responses import ResponsesAgentResponse, ResponsesAgentStreamEvent
except ImportError:  # their first names, in MLflow 2
    from mlflow.types.responses import ResponsesResponse as ResponsesAgentResponse
    from mlflow.types.responses import ResponsesStreamEvent as ResponsesAgentStreamEvent

# The same for all, so that they share one environment wherever they are hosted.
REQUIREMENTS = [f"{name}=={version(name)}" for name in ("mlflow", "pandas", "scikit-learn")]


class Scaled(PythonModel):
    """Multiplies a column, and says which parameters it got."""

    def predict(self, context, model_input, params=None):
        return [
            {"scaled": float(value) * params["factor"], "label": params["label"]}
            for value in model_input["x"]
        ]


class Raising(PythonModel):
    """Fails in the way that the column `how` names."""

    def predict(self, context, model_input, params=None):
        how = model_input["how"].iloc[0]
        if how == "mlflow":
            raise mlflow.exceptions.MlflowException("the lake is closed")
        if how == "exit":
            sys.exit(3)
        if how == "memory":
            raise MemoryError
        if how == "recursion":
            return self.predict(context, model_input, params)
        if how == "object":
            return [object()]
        if how == "path":
            return Path(__file__ if "__file__" in globals() else sys.prefix, "nothing").read_text()
        raise ValueError(f"Unexpected error: {how}")


class NotFinite(PythonModel):
    """Answers with numbers that JSON has no words for."""

    def predict(self, context, model_input, params=None):
        frame = pd.DataFrame({"x": model_input["x"], "y": np.nan, "z": -np.inf})
        return frame.assign(t=pd.NaT)


class Answers(PythonModel):
    """Answers in the type that the column `kind` names."""

    def predict(self, context, model_input, params=None):
        kind = model_input["kind"].iloc[0]
        frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
        return {
            "frame": frame,
            "series": frame["a"],
            "array": np.arange(6, dtype="int32").reshape(2, 3),
            "dictionary": {"n": np.float32(0.5), "s": frame["a"], "list": [np.int64(2**62)]},
            "scalar": np.float64(1.5),
            "text": "déjà vu \ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"),
            "bytes": [b"\x00\xff" * 60],
            "times": [pd.Timestamp("2026-01-02T03:04:05"), np.datetime64("2026-01-02T03:04:05")],
            "large": "x" * (17 << 20),
            "big": [2**70],
            "none": None,
        }[kind]


class Streaming(PythonModel):
    """Answers word by word, or at once; `prompt` may ask it to fail, to wait or never to end."""

    def predict(self, context, model_input, params=None):
        return " ".join(self._words(model_input))

    def predict_stream(self, context, model_input, params=None):
        for word in self._words(model_input):
            yield {"word": word}

    def _words(self, model_input):
        if isinstance(model_input, pd.DataFrame):
            model_input = model_input.iloc[0].to_dict()
        for word in model_input["prompt"].split():
            if word == "fail":
                raise ValueError("no such word")
            if word == "wait":
                time.sleep(1)
            while word == "forever":
                yield word
                time.sleep(0.01)
            yield word


class Slow(PythonModel):
    """Takes as many seconds as it is told."""

    def predict(self, context, model_input, params=None):
        time.sleep(float(model_input["seconds"].sum()))
        return model_input["seconds"]


class Leaking(PythonModel):
    """Keeps as many megabytes of each request as it is told."""

    def predict(self, context, model_input, params=None):
        kept = self.__dict__.setdefault("kept", [])
        kept.extend(bytearray(b"x" * (int(size) << 20)) for size in model_input["megabytes"])
        return [len(kept)]


class Printing(PythonModel):
    """Prints without end, from its first request on."""

    def predict(self, context, model_input, params=None):
        import threading  # noqa: PLC0415 - the pickled class brings its own imports

        def chatter():
            while True:
                print("printing without end", flush=True)

        threading.Thread(target=chatter, daemon=True).start()
        return ["printing"]


class MissingModule(PythonModel):
    """Needs, when it is loaded, a module that no requirement names."""

    def __init__(self):
        self.saved = True

    def __setstate__(self, state):
        import nowhere_to_be_found  # noqa: F401, PLC0415 - it must fail here

    def predict(self, context, model_input, params=None):
        return model_input


class Hanging(PythonModel):
    """Never ends being loaded."""

    def __init__(self):
        self.saved = True

    def __setstate__(self, state):
        time.sleep(3600)

    def predict(self, context, model_input, params=None):
        return model_input


class Flower(pydantic.BaseModel):
    name: str
    petals: int = 5


class Typed(PythonModel):
    """Its signature is its type hints."""

    def predict(self, model_input: list[Flower], params=None) -> list[str]:
        return [flower.name * flower.petals for flower in model_input]


def _last(messages) -> str:
    return messages[-1].content


class EchoChat(ChatModel):
    """Says the last message again, and how warm it was."""

    def predict(self, context, messages, params):
        message = {"role": "assistant", "content": f"{_last(messages)} at {params.temperature}"}
        return ChatCompletionResponse.from_dict(
            {
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "model": "echo",
            }
        )

    def predict_stream(self, context, messages, params):
        for word in _last(messages).split():
            yield ChatCompletionChunk.from_dict(
                {"choices": [{"index": 0, "delta": {"role": "assistant", "content": word}}]}
            )


class EchoAgent(ChatAgent):
    """Says the last message again."""

    def predict(self, messages, context=None, custom_inputs=None):
        answer = ChatAgentMessage(role="assistant", content=_last(messages), id="m1")
        return ChatAgentResponse(messages=[answer], custom_outputs=custom_inputs)

    def predict_stream(self, messages, context=None, custom_inputs=None):
        for word in _last(messages).split():
            yield ChatAgentChunk(delta=ChatAgentMessage(role="assistant", content=word, id="m1"))


class EchoResponses(ResponsesAgent):
    """Says the last input again."""

    def _text(self, request) -> str:
        content = request.input[-1].content
        return content if isinstance(content, str) else content[0]["text"]

    def _item(self, request) -> dict:
        content = [{"type": "output_text", "text": self._text(request), "annotations": []}]
        return {"type": "message", "id": "i1", "role": "assistant", "content": content}

    def predict(self, request):
        return ResponsesAgentResponse(
            output=[self._item(request)], custom_outputs=request.custom_inputs
        )

    def predict_stream(self, request):
        for word in self._text(request).split():
            yield ResponsesAgentStreamEvent(
                type="response.output_text.delta", item_id="i1", delta=word
            )
        yield ResponsesAgentStreamEvent(type="response.output_item.done", item=self._item(request))


def _columns(**types: str) -> ModelSignature:
    return ModelSignature(Schema([ColSpec(kind, name) for name, kind in types.items()]))


def _save(folder: Path, name: str, model, signature=None, **options) -> None:
    mlflow.pyfunc.save_model(
        folder / name,
        python_model=model,
        signature=signature,
        pip_requirements=REQUIREMENTS,
        **options,
    )


def _save_iris(folder: Path) -> None:
    from sklearn.datasets import load_iris  # noqa: PLC0415
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415

    flowers = load_iris(as_frame=True)
    model = LogisticRegression(max_iter=200).fit(flowers.data, flowers.target)
    mlflow.sklearn.save_model(
        model,
        folder / "iris",
        signature=infer_signature(flowers.data, model.predict(flowers.data)),
        serialization_format="cloudpickle",  # the newest MLflow's default needs one more package
        pip_requirements=REQUIREMENTS,
    )


class Doubled(PythonModel):
    """Doubles a tensor."""

    def predict(self, context, model_input, params=None):
        return model_input * 2


class Tensors(PythonModel):
    """Says how many numbers each of its tensors has, and their sum."""

    def predict(self, context, model_input, params=None):
        return {name: [value.size, float(value.sum())] for name, value in model_input.items()}


class Listed(PythonModel):
    """Answers as `mlflow.transformers` does with a language model: the object is alone in a list."""

    def predict(self, context, model_input, params=None):
        return [{"object": "text_completion", "choices": [{"index": 0, "text": "yes"}]}]


class Types(PythonModel):
    """Says which types its columns arrived in, and their values as text."""

    def predict(self, context, model_input, params=None):
        return {
            name: [str(column.dtype), [repr(value) for value in column]]
            for name, column in model_input.items()
        }


class Bare(PythonModel):
    """Has no signature: says what it was given."""

    def predict(self, context, model_input, params=None):
        return {"type": type(model_input).__name__, "params": params}


def _save_shapes(folder: Path) -> None:
    """Save models whose signatures have more than columns of one value each."""
    person = [Property("name", DataType.string), Property("n", DataType.long, required=False)]
    columns = [
        ColSpec(Array(DataType.double), "a"),
        ColSpec(Object(person), "o", required=False),
        ColSpec(Map(DataType.long), "m", required=False),
    ]
    _save(folder, "nested", Types(), ModelSignature(Schema(columns)))
    unnamed = Schema([ColSpec("double"), ColSpec("double")])
    _save(folder, "unnamed", Types(), ModelSignature(unnamed))
    kind = np.dtype("float32")
    tensors = Schema([TensorSpec(kind, (-1,), "a"), TensorSpec(kind, (-1, 2), "b")])
    _save(folder, "tensors", Tensors(), ModelSignature(tensors))
    _save(
        folder,
        "listed",
        Listed(),
        _columns(prompt="string"),
        metadata={"task": "llm/v1/completions"},
    )


def _save_all(folder: Path) -> None:
    _save_iris(folder)
    params = ParamSchema(
        [
            ParamSpec("factor", DataType.double, 2.0),
            ParamSpec("label", DataType.string, "none"),
        ]
    )
    scaled = ModelSignature(Schema([ColSpec("double", "x")]), params=params)
    _save(folder, "params", Scaled(), scaled)
    _save(folder, "raising", Raising(), _columns(how="string"))
    _save(folder, "not_finite", NotFinite(), _columns(x="double"))
    _save(folder, "answers", Answers(), _columns(kind="string"))
    _save(folder, "streaming", Streaming(), _columns(prompt="string"))
    _save(folder, "slow", Slow(), _columns(seconds="double"))
    _save(folder, "leaking", Leaking(), _columns(megabytes="long"))
    _save(folder, "printing", Printing(), _columns(x="double"))
    _save(folder, "missing_module", MissingModule(), _columns(x="double"))
    _save(folder, "hanging", Hanging(), _columns(x="double"))
    _save(folder, "typed", Typed())
    _save(folder, "bare", Bare())
    tensor = Schema([TensorSpec(np.dtype("float32"), (-1, 2))])
    _save(folder, "tensor", Doubled(), ModelSignature(tensor))
    kinds = {"i": "integer", "l": "long", "f": "float", "d": "double", "s": "string"}
    _save(folder, "types", Types(), _columns(**kinds, b="boolean", x="binary", t="datetime"))
    _save_shapes(folder)
    _save(folder, "chat_model", EchoChat())
    _save(folder, "chat_agent", EchoAgent())
    _save(folder, "responses_agent", EchoResponses())


if __name__ == "__main__":
    _save_all(Path(sys.argv[1]))

"""Logs and registers the models of the documents at the MLflow server whose address is given.

Runs in an environment of `cache`, which has MLflow and scikit-learn, and nothing of ours.
"""

import sys
import tempfile
from pathlib import Path

import mlflow
import pandas as pd
import sklearn
from mlflow import MlflowClient
from mlflow.models import infer_signature
from sklearn.linear_model import LogisticRegression


class Constant(mlflow.pyfunc.PythonModel):
    """Answers with a parameter."""

    def predict(self, context, model_input, params=None):
        """Return the parameter for each row."""
        return [params["k"]] * len(model_input)


def main(address: str) -> None:
    """Register everything."""
    mlflow.set_tracking_uri(address)
    rows = pd.DataFrame({"sepal length (cm)": [5.1, 4.9, 6.2], "n": [3.5, 3.0, 2.2]})
    model = LogisticRegression().fit(rows, [0, 0, 1])
    signature = infer_signature(rows, model.predict(rows))
    # Else each is loaded in a process of its own, to see what it imports.
    needed = [f"mlflow=={mlflow.__version__}", f"scikit-learn=={sklearn.__version__}"]
    a, b = "catalog.schema.model-A", "catalog.schema.model-B"
    for _ in range(2):
        mlflow.sklearn.log_model(
            model,
            name="m",
            signature=signature,
            pip_requirements=needed,
            registered_model_name=a,
        )
    with tempfile.TemporaryDirectory() as folder:
        nested = Path(folder) / "package" / "deep"
        nested.mkdir(parents=True)
        (nested / "a b.py").write_text("x = 1\n")
        mlflow.pyfunc.log_model(
            name="m",
            python_model=Constant(),
            signature=infer_signature(rows, [0.5], params={"k": 0.5}),
            pip_requirements=needed,
            code_paths=[str(Path(folder) / "package")],
            metadata={"task": "agent/v1/chat"},
            registered_model_name=b,
        )
    MlflowClient().set_registered_model_alias(a, "champion", "1")


if __name__ == "__main__":
    main(sys.argv[1])

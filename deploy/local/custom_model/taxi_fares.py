"""Train a model and register it: `python taxi_fares.py DIRECTORY`, where MLflow is installed.

`modelplane up --custom-model` runs it once and serves what it has registered: no part of
modelplane is imported here, and a model of your own comes about in the same way.
"""

import sys
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema


class TaxiFare(mlflow.pyfunc.PythonModel):
    """Tells what a ride costs, from what rides have cost before."""

    def __init__(self, rides):
        """Learn the prices of a ride, a kilometre, a minute, and the night."""
        known = self._features(rides)
        self.prices = np.linalg.lstsq(known, rides["fare"].to_numpy(), rcond=None)[0]

    def predict(self, context, model_input, params=None):
        """Return the fare of each ride, with a tip if the caller says one."""
        del context
        tip = (params or {}).get("tip", 0.0)
        fares = self._features(model_input) @ self.prices * (1 + tip)
        return pd.DataFrame({"fare": fares.round(2)})

    @staticmethod
    def _features(rides):
        columns = [np.ones(len(rides)), rides["km"], rides["minutes"], rides["night"]]
        return np.column_stack(columns).astype(float)


# A thousand rides of a city that does not exist, each a little cheaper or dearer than it should be.
chance = np.random.default_rng(seed=1)
km = chance.uniform(1, 30, 1000)
rides = pd.DataFrame(
    {"km": km, "minutes": km * chance.uniform(1.5, 4, 1000), "night": chance.random(1000) < 0.25}
)
rides["fare"] = 3.5 + 1.6 * rides["km"] + 0.4 * rides["minutes"] + 2.5 * rides["night"]
rides["fare"] += chance.normal(0, 0.5, 1000)

# What callers send and get: MLflow checks each request against it before the model sees it.
signature = ModelSignature(
    inputs=Schema(
        [ColSpec("double", "km"), ColSpec("double", "minutes"), ColSpec("boolean", "night")]
    ),
    outputs=Schema([ColSpec("double", "fare")]),
    params=ParamSchema([ParamSpec("tip", "double", 0.0)]),
)

# Version 1 of the model, with what it runs with. In a registry that is a directory, saving it is
# registering it. MLflow is named once more, as it does not know itself in a line with hashes.
mlflow.pyfunc.save_model(
    path=Path(sys.argv[1]) / "main.demo.taxi_fare" / "1",
    python_model=TaxiFare(rides),
    signature=signature,
    pip_requirements=[
        f"mlflow-skinny=={mlflow.__version__}",
        f"-r {Path(__file__).with_name('requirements.txt')}",
    ],
)

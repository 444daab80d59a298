"""Train a model, register it, serve it, ask it.

The registry is at MLFLOW_TRACKING_URI, the deployment at URL, and TOKEN is one that may make
endpoints there. It needs `pip install mlflow`, which brings scikit-learn and the SDK.
"""

import os

import mlflow
import sklearn
from databricks.sdk import WorkspaceClient
from databricks.sdk.service.serving import EndpointCoreConfigInput, ServedEntityInput
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

# Train: petals and sepals of 150 flowers, and which of three species each is.
flowers = load_iris(as_frame=True)
model = LogisticRegression(max_iter=1000).fit(flowers.data, flowers.target)

# Register: the example says which columns the model takes, the requirements what it runs in.
logged = mlflow.sklearn.log_model(
    model,
    name="iris",
    registered_model_name="main.ml.iris",
    input_example=flowers.data.head(2),
    pip_requirements=[f"mlflow=={mlflow.__version__}", f"scikit-learn=={sklearn.__version__}"],
)

# Serve: the first time its environment is built, which takes a minute or so.
endpoints = WorkspaceClient(host=os.environ["URL"], token=os.environ["TOKEN"]).serving_endpoints
entity = ServedEntityInput(
    name="prod",
    entity_name="main.ml.iris",
    entity_version=str(logged.registered_model_version),
    workload_size="Small",
    scale_to_zero_enabled=True,
)
if "iris" in [endpoint.name for endpoint in endpoints.list()]:
    endpoints.update_config_and_wait("iris", served_entities=[entity])
else:
    config = EndpointCoreConfigInput(name="iris", served_entities=[entity])
    endpoints.create_and_wait(name="iris", config=config)

# Ask.
rows = flowers.data.head(2).to_dict("records")
print(endpoints.query("iris", dataframe_records=rows).predictions)

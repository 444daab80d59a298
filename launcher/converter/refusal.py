"""What cannot be converted, in words for the model's owner."""


class Refusal(Exception):
    """The model cannot be converted; the text says why, and what to do."""


OTHER_ENGINE = "serve it by vLLM (MODELPLANE_ENGINES), or log a model of another kind"

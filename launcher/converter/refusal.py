"""What cannot be converted, in words for the model's owner."""


class Refusal(Exception):
    """The model cannot be converted; the text says why, and what to do."""


OTHER_ENGINE = "serve it by a server of your own as an external_model, or log another model"

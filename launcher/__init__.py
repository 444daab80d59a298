"""The launcher: starts the models that the control plane says should run, and tells it of them."""

"""The command `modelplane doctor`: one module for each part of what a deployment stands on."""

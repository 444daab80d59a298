"""The launcher's line to the control planes."""

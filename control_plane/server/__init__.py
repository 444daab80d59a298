"""The control plane's parts and how they are joined: a builder for each, and `serving`."""

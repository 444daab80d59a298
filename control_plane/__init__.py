"""The control plane: endpoints, versions, secrets and identities in SQL, pushed to workers."""

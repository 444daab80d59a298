"""Which task an endpoint has. Before: `views`, `foundation_views`, `openapi`."""

from modelplane.control_plane.store.endpoints.records import StoredVersion


def task_of(version: StoredVersion) -> str | None:
    """Return the task that all models of a version share; None where they do not."""
    tasks = {model.description.task for model in version.hosted} or {
        entity.external_model.task for entity in version.config.served_entities
    }
    return (tasks.pop() or None) if len(tasks) == 1 else None

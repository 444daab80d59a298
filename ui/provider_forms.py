"""Writes what the form of each provider asks for: `python ui/provider_forms.py DESCRIPTORS OUT`.

Read from the protos alone, the rules and the comments of their configuration messages included, so
that a provider that is added there has a form. `make ui` calls it before the build.
"""

import json
import sys
from pathlib import Path
from typing import Any

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)
from modelserving.v1 import rules_pb2

# The file with the providers' names.
NAMES = "provider_names.gen.json"
_FILE = "modelserving/v1/external_model.proto"
_PACKAGE = ".modelserving.v1."
_PLAINTEXT = "_plaintext"
# Of a file's descriptor, and of a message's: what a path to a comment is made of.
_MESSAGES, _FIELDS = 4, 2


def main(descriptors: Path, out: Path) -> None:
    """Read the descriptor set, and write the forms as JSON, and beside them their names."""
    found = FileDescriptorSet.FromString(descriptors.read_bytes())
    [file] = [file for file in found.file if file.name == _FILE]
    found_forms = forms(file)
    # Beside the forms, which what only lists providers need not load.
    names = [form["provider"] for form in found_forms]
    for place, content in ((out, found_forms), (out.with_name(NAMES), names)):
        place.write_text(f"{json.dumps(content, indent=1)}\n", encoding="utf-8")


def forms(file: FileDescriptorProto) -> list[dict[str, Any]]:
    """Return the form of each arm of `ExternalModel.provider_config`, in their order."""
    comments = {
        tuple(place.path): place.leading_comments for place in file.source_code_info.location
    }
    messages = {message.name: place for place, message in enumerate(file.message_type)}
    model = file.message_type[messages["ExternalModel"]]
    return [
        _form(file, messages, comments, field)
        for field in model.field
        if field.HasField("oneof_index") and not field.proto3_optional
    ]


def _form(
    file: FileDescriptorProto,
    messages: dict[str, int],
    comments: dict[tuple[int, ...], str],
    arm: FieldDescriptorProto,
) -> dict[str, Any]:
    place = messages[arm.type_name.removeprefix(_PACKAGE)]
    message = file.message_type[place]
    rules = message.options.Extensions[rules_pb2.provider_rules]
    about = _words(comments[(_MESSAGES, place)])
    return {
        "provider": rules.provider,
        "config_field": arm.name,
        "description": about.removeprefix(f"{message.name} "),
        "tasks": list(rules.tasks),
        "fields": _fields(file, messages, comments, message),
        "cases": [
            {
                "field": case.field,
                "values": list(case.values),
                "required": list(case.required),
                "credentials": list(case.credentials),
                "one_of": list(case.one_of),
                "allowed": {item.field: list(item.values) for item in case.allowed},
                "json": [item.field for item in case.json_credentials],
                "unused": list(case.unused),
            }
            for case in rules.cases
        ],
        "examples": {form.field: form.what for form in rules.forms},
        "model_name": rules.model_name.what,
        "suggested_models": {item.task: list(item.names) for item in rules.suggested_models},
    }


def _fields(
    file: FileDescriptorProto,
    messages: dict[str, int],
    comments: dict[tuple[int, ...], str],
    message: DescriptorProto,
) -> list[dict[str, Any]]:
    names = {field.name for field in message.field}
    place = messages[message.name]
    fields = []
    for index, field in enumerate(message.field):
        if field.name.endswith(_PLAINTEXT) or _is_refused(field):
            continue
        group = field.type_name.removeprefix(_PACKAGE)
        fields.append(
            {
                "name": field.name,
                "description": _words(comments[(_MESSAGES, place, _FIELDS, index)]),
                "secret": field.name + _PLAINTEXT in names,
                "fields": _fields(file, messages, comments, file.message_type[messages[group]])
                if group
                else [],
            }
        )
    return fields


def _is_refused(field: FieldDescriptorProto) -> bool:
    return bool(field.options.Extensions[rules_pb2.not_available])


def _words(comment: str) -> str:
    return " ".join(comment.split()).removeprefix("Required. ").replace("`", "")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

"""Protobuf messages described in place, where a proxy's protocol needs a few of them: no compiler, no generated code.

https://protobuf.dev/programming-guides/encoding/
"""

from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.message_factory import GetMessages

INT32, UINT32, FIXED32 = Field.TYPE_INT32, Field.TYPE_UINT32, Field.TYPE_FIXED32
STRING, BYTES = Field.TYPE_STRING, Field.TYPE_BYTES

#: A message's fields: name, number, and one of the types above or a message's name; a list is a repeated field.
Fields = Sequence[tuple[str, int, Any]]

_PACKAGE = "described"


def described(messages: Mapping[str, Fields]) -> dict[str, Any]:
    """Return the messages' classes, by name. Fields that are not described are skipped when read."""
    file = FileDescriptorProto(name=f"{_PACKAGE}.proto", package=_PACKAGE)
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for field_name, number, of in fields:
            field = message.field.add(name=field_name, number=number, label=Field.LABEL_OPTIONAL)
            if isinstance(of, list):
                field.label = Field.LABEL_REPEATED
                (of,) = of  # noqa: PLW2901
            if isinstance(of, str):
                field.type, field.type_name = Field.TYPE_MESSAGE, f".{_PACKAGE}.{of}"
            else:
                field.type = of
    classes = GetMessages([file])
    return {name: classes[f"{_PACKAGE}.{name}"] for name in messages}

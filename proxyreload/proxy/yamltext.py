"""A text of YAML, or of its subset JSON, with the places of what it says, so that it is changed there alone.

https://yaml.org/spec/1.2.2/
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs

from proxyreload.errors import UsageError
from proxyreload.proxy.configtemplate import literal
from proxyreload.system.untrusted import printable

#: One of PyYAML's, which is there only where somebody asks for it: a mapping, a sequence or a scalar.
Node = Any


def content(text: str, name: str, what: str = "what is YAML") -> Any:  # noqa: ANN401  (as the text is)
    """Return what a text says; raises `UsageError` with its line where it is none, or where nothing reads it."""
    yaml = _yaml(what)
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _wrong(name, error) from error


def _yaml(what: str) -> Any:  # noqa: ANN401  (a module)
    try:
        import yaml
    except ImportError as error:
        msg = f"{what} is read with PyYAML: pip install 'proxyreload[yaml]'"
        raise UsageError(msg) from error
    return yaml


def _wrong(name: str, error: Exception) -> UsageError:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error) or "too deep"
    where = name if mark is None else f"{name}:{mark.line + 1}"
    return UsageError(f"{where}: no YAML: {printable(problem)}")


@attrs.define
class YamlText:
    """One document being changed: what is not, stays as it is, to the byte.

    All that is given in place of something is a template's; the rest is made one that comes to what it is.
    """

    path: Path
    text: str
    root: Node
    _shared: set[int] = attrs.field(factory=set)  #: what more than one place says, by an alias
    _keyed: dict[int, Node] = attrs.field(factory=dict)  #: the keys, by what stands under them
    _within: dict[int, Node] = attrs.field(factory=dict)  #: the mappings that they stand in
    _removed: dict[int, int] = attrs.field(factory=dict)  #: how much has been taken out of what
    _changed: list[tuple[int, int, str]] = attrs.field(factory=list)

    @classmethod
    def parse(cls, path: Path, text: str) -> "YamlText":
        """Return it; raises `UsageError` with the line of what is no YAML, or no mapping."""
        yaml = _yaml(f"{path}: what is YAML")
        try:
            root = yaml.compose(text, Loader=yaml.SafeLoader)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise _wrong(str(path), error) from error
        if not isinstance(root, yaml.MappingNode):
            msg = f"{path}:1: no mapping of sections"
            raise UsageError(msg)
        made = cls(path, text, root)
        made._look_through(root, set(), shared=False)
        return made

    def wrong(self, node: Node, words: str) -> UsageError:
        """Return what cannot be done in the line in which a node begins."""
        return UsageError(f"{self.path}:{self.line(node)}: {words}")

    def line(self, node: Node) -> int:
        """Return the line in which a node begins, from 1; what stands under a key begins there."""
        number: int = (self._keyed.get(id(node)) or node).start_mark.line + 1
        return number

    def entry(self, node: Node | None, *keys: str) -> Node | None:
        """Return what a mapping says under a key, and in that under the next; None if it says nothing."""
        for key in keys:
            found = [value for name, value in self.entries(node) if name == key]
            if len(found) > 1:
                raise self.wrong(found[1], f"{key} is there twice")
            node = found[0] if found else None
        return node

    def entries(self, node: Node | None) -> Iterator[tuple[str, Node]]:
        """Yield the keys of a mapping, and what it says under them; of what is none, nothing."""
        if node is not None and node.id == "mapping":
            for key, value in node.value:
                if key.id == "scalar":
                    yield key.value, value

    def items(self, node: Node | None) -> Sequence[Node]:
        """Return what is in a sequence; of what is none, nothing."""
        return node.value if node is not None and node.id == "sequence" else ()

    def scalar(self, node: Node | None) -> str:
        """Return what a scalar says, empty if it is none."""
        return str(node.value) if node is not None and node.id == "scalar" else ""

    def walk(self, node: Node | None) -> Iterator[tuple[str, Node, Node]]:
        """Yield every key below a node, what it says, and the mapping that it is in."""
        seen: set[int] = set()
        left = [] if node is None else [node]
        while left:
            each = left.pop(0)
            if id(each) in seen:
                continue
            seen.add(id(each))
            for key, value in self.entries(each):
                yield key, value, each
            left += [value for _key, value in self.entries(each)] + list(self.items(each))

    def template(self) -> str:
        """Return the text with what was changed."""
        pieces: list[str] = []
        position = 0
        # What is put before something stands before what comes in place of it.
        for start, end, told in sorted(self._changed, key=lambda each: (each[0], each[0] != each[1], -each[1])):
            if start >= position:
                pieces += [literal(self.text[position:start]), told]
                position = end
        return "".join([*pieces, literal(self.text[position:])])

    def replace(self, node: Node, told: str) -> None:
        """Put something in place of a node, which may be nothing that is said."""
        start, end = node.start_mark.index, self._end(node)
        key = self._keyed.get(id(node))
        colon = start if key is None else self.text.index(":", key.end_mark.index) + 1
        if not self.text[colon:start].strip():  # a block below the key: it may stand no farther in than that
            start, told = colon, f" {told}" if key is not None else told
        elif key and node.start_mark.column <= key.start_mark.column:
            told = f"  {told}"
        self._change(node, start, end, told)

    def insert(self, mapping: Node, key: str, told: str, condition: str = "") -> None:
        """Put an entry before the others of a mapping, where the mark `condition` is something if one is given."""
        block = mapping.id == "mapping" and not mapping.flow_style
        self._before(mapping, f"{key}: {told}" if block else f'"{key}": {told}', condition, "{}")

    def insert_item(self, sequence: Node, told: str, condition: str = "") -> None:
        """Put an item before the others of a sequence, likewise."""
        block = sequence.id == "sequence" and not sequence.flow_style
        self._before(sequence, f"- {told}" if block else told, condition, "[]")

    def _before(self, within: Node, told: str, condition: str, ends: str) -> None:
        begin, end = (f"@@if {condition}@@", "@@end@@") if condition else ("", "")
        if within.id == "scalar":
            if within.value not in ("", "~", "null"):
                raise self.wrong(within, "there is something in place of a section")
            self.replace(within, f"{ends[0]}{begin}{told}{end}{ends[1]}")
        elif within.flow_style:
            at = within.start_mark.index + 1
            self._change(within, at, at, f"{begin}{told}{', ' if within.value else ''}{end}")
        else:
            start = self._begin(within, within.value[0])
            first = self.text.rfind("\n", 0, start) + 1
            space = " " * (start - first)
            if condition and not self.text[first:start].strip():
                self._change(within, first, first, f"{space}{begin}\n{space}{told}\n{space}{end}\n")
            else:
                self._change(within, start, start, f"{begin}{told}\n{space}{end}")

    def rewrite(self, mapping: Node, node: Node, told: str) -> None:
        """Put another entry in place of the one that says `node`."""
        each = next(one for one in mapping.value if one[1] is node)
        self._change(node, self._begin(mapping, each), self._end(node), told)

    def remove(self, within: Node, node: Node) -> None:
        """Take out an entry of a mapping, by what it says, or an item of a sequence: lines become comments.

        What nothing is left in is taken out with it, as far as it stands under a key.
        """
        self._removed[id(within)] = self._removed.get(id(within), 0) + 1
        if self._removed[id(within)] == len(within.value) and id(within) in self._within:
            self.remove(self._within[id(within)], within)
            return
        each = next(one for one in within.value if (one[1] if isinstance(one, tuple) else one) is node)
        index = within.value.index(each)
        start, end = self._begin(within, each), self._end(node)
        begin, stop = self._lines(start, end)
        if not within.flow_style and begin is not None:
            lines = self.text[begin:stop].split("\n")
            indent = re.match(r" *", lines[0])
            space = indent[0] if indent is not None else ""
            commented = "\n".join(f"{space}# {literal(line.removeprefix(space))}" for line in lines)
            self._change(node, begin, stop, commented)
        elif index + 1 < len(within.value):
            self._change(node, start, self._begin(within, within.value[index + 1]), "")
        elif index and within.flow_style:
            before = within.value[index - 1]
            after = self._end(before[1] if isinstance(before, tuple) else before)
            self._change(node, after, end, "")
        else:
            self._change(node, start, end, "" if within.flow_style else "{}")

    def repeat(self, sequence: Node, node: Node) -> None:
        """Let an item of a sequence be there for each backend, and nothing but that."""
        for each in list(sequence.value):
            if each is not node:
                self.remove(sequence, each)
        start, end = self._begin(sequence, node), self._end(node)
        if sequence.flow_style:
            self._around(node, start, end, "@@each backend@@", "@@between@@, @@end@@")
        else:
            begin, stop = self._lines(start, end)
            if begin is None:
                raise self.wrong(node, "the first of several stands on a line with what they are in")
            space = " " * (start - begin)
            self._around(node, begin, stop, f"{space}@@each backend@@\n", f"\n{space}@@end@@")

    def choose(self, mapping: Node, node: Node, condition: str, key: str, told: str) -> None:
        """Let an entry of a mapping be another one, where the mark `condition` is something."""
        each = next(one for one in mapping.value if one[1] is node)
        start, end = self._begin(mapping, each), self._end(node)
        name = f'"{key}"' if mapping.flow_style else key
        begin, stop = self._lines(start, end)
        if mapping.flow_style or begin is None:
            self._around(node, start, end, f"@@if {condition}@@{name}: {told}@@else@@", "@@end@@")
        else:
            space = " " * (start - begin)
            other = f"{space}@@if {condition}@@\n{space}{name}: {told}\n{space}@@else@@\n"
            self._around(node, begin, stop, other, f"\n{space}@@end@@")

    def _around(self, node: Node, start: int, end: int, before: str, after: str) -> None:
        self._change(node, start, start, before)
        self._change(node, end, end, after)

    def _change(self, node: Node, start: int, end: int, told: str) -> None:
        if id(node) in self._shared:
            raise self.wrong(node, "this is used elsewhere as well, by an alias: write it out before")
        self._changed.append((start, end, told))

    def _begin(self, within: Node, each: Any) -> int:  # noqa: ANN401  (of a mapping it is a pair)
        """Return where an entry of a mapping begins, or an item of a sequence, with its dash."""
        start: int = (each[0] if isinstance(each, tuple) else each).start_mark.index
        if within.id == "sequence" and not within.flow_style:
            return self.text.rindex("-", 0, start)
        return start

    def _end(self, node: Node) -> int:
        """Return where a node ends: PyYAML takes what is behind a block, up to what comes next, for a part of it."""
        end: int = node.end_mark.index
        while node.id != "scalar" and not node.flow_style and node.value:
            last = node.value[-1]
            node = last[1] if isinstance(last, tuple) else last
            end = node.end_mark.index
        return len(self.text[:end].rstrip()) if node.id == "scalar" and node.style in ("|", ">") else end

    def _lines(self, start: int, end: int) -> tuple[int | None, int]:
        """Return where the lines of something begin and end, None if it has them not for itself."""
        begin = self.text.rfind("\n", 0, start) + 1
        stop = self.text.find("\n", end)
        stop = len(self.text) if stop < 0 else stop
        rest = self.text[end:stop].strip()
        alone = not self.text[begin:start].strip() and (not rest or rest.startswith("#"))
        return (begin if alone else None), stop

    def _look_through(self, node: Node, seen: set[int], *, shared: bool) -> None:
        if id(node) in self._shared:
            return
        shared = shared or id(node) in seen
        seen.add(id(node))
        if shared:
            self._shared.add(id(node))
        for each in node.value if node.id in ("mapping", "sequence") else ():
            if isinstance(each, tuple):
                self._keyed.setdefault(id(each[1]), each[0])
                self._within.setdefault(id(each[1]), node)
            for part in each if isinstance(each, tuple) else (each,):
                self._look_through(part, seen, shared=shared)

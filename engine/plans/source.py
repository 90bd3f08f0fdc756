"""The plan as Python: one function for each object selected, one for each list, written out and compiled.

A field costs what its attribute and a check of its value's class cost. All that is not usual is in the functions that
are called then: `offer` for other values, `Run.fail` for errors.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from graphql import is_leaf_type, is_list_type, is_object_type
from strawberry.types.cast import TYPE_CAST_ATTRIBUTE

from engine.plans.completing import class_of, completer
from engine.plans.leaves import PLAIN, judge, quick_leaf
from engine.plans.lists import async_list, check_iterable, is_async
from engine.plans.resolving import Resolving
from engine.plans.running import Run
from engine.plans.selections import Composed, Field, Operation, Selection, Selections, Slot
from engine.plans.steps import Coroutine, fail, gathered, offer, wait

Step = Callable[[Any, None, Run], Any]
"""From the root value to fields of the answer, or a coroutine for them."""

_Lines = list[str]
_FUNCTIONS = (async_list, check_iterable, fail, gathered, is_async, judge, offer, wait)


def compile_plan(
    selections: Selections, operation: Operation, resolving: Resolving, compose: Callable[[Slot], Composed | None]
) -> list[Step]:
    """The steps to run one after the other: one for all fields of a query, one for each field of a mutation."""
    for slot in selections.slots:
        slot.composed = compose(slot)
    source = _Source(operation, resolving)
    source.name({f"slot{slot.number}": slot for slot in selections.slots})
    root = selections.root
    parts = [[field] for field in root.fields] if selections.serial else [root.fields]
    for number, fields in enumerate(parts):
        source.write_object(f"root{number}", root, fields, counted=False)
    for selection in selections.selections:
        source.write_object(f"object{selection.number}", selection, selection.fields, counted=True)
    for slot in selections.slots:
        if slot.item is not None:
            source.write_list(slot, slot.item)
    functions = source.compile()
    for slot in selections.slots:
        slot.complete = completer(slot, functions)
    return [functions[f"root{number}"] for number in range(len(parts))]


class _Source:
    """Collects lines, and the objects that they name."""

    def __init__(self, operation: Operation, resolving: Resolving) -> None:
        self._operation = operation
        self._resolving = resolving
        self._lines: _Lines = []
        self._names: dict[str, Any] = {function.__name__: function for function in _FUNCTIONS}
        self._names |= {"Coroutine": Coroutine, "PLAIN": PLAIN}

    def name(self, names: Mapping[str, Any]) -> None:
        """Let the lines use these objects."""
        self._names |= names

    def compile(self) -> dict[str, Any]:
        exec(compile("\n".join(self._lines), "<plan>", "exec"), self._names)  # noqa: S102 - made of names and literals
        return self._names

    def write_object(self, name: str, selection: Selection, fields: Iterable[Field], *, counted: bool) -> None:
        """A function from an object and its place (`around`) to its part of the answer, or a coroutine for it."""
        entries: list[str] = []
        steps: _Lines = []
        for number, field in enumerate(fields):
            value = repr(selection.type.name) if field.name == "__typename" else f"value{number}"
            entries.append(f"{field.key!r}: {value}")
            if field.name != "__typename":
                steps += self._field(field, value)
        count = [f"run.fields_left -= {len(selection.fields)}", "if run.fields_left < 0: run.cut_off()"]
        self._write(
            f"def {name}(source, around, run):",
            *(count if counted else ()),
            "waiting = []",
            *_unless_failed(steps, "run.abandon(waiting)"),
            f"result = {{{', '.join(entries)}}}",
            "return gathered(result, waiting, run) if waiting else result",
        )

    def write_list(self, slot: Slot, item: Slot) -> None:
        """A function from an iterable and its place to the list in the answer, or a coroutine for it."""
        steps = [
            "for index, value in enumerate(items):",
            "    try:",
            *_indented(self._answer(item, "value", "(around, index, None)"), 2),
            "    except Exception:",
            f"        value = fail(slot{item.number}, (around, index, None), run)",
            "    append(value)",
        ]
        self._write(
            f"def list{slot.number}(value, around, run):",
            "if type(value) is not list:",
            f"    if is_async(value): return async_list(value, slot{item.number}, around, run)",
            f"    check_iterable(value, slot{item.number})",
            "result = []",
            "append = result.append",
            "waiting = []",
            "items = iter(value)",
            *_unless_failed(steps, "run.abandon(waiting, items)"),
            "return gathered(result, waiting, run) if waiting else result",
        )

    def _write(self, head: str, *body: str) -> None:
        self._lines += [head, *_indented(body)]

    def _field(self, field: Field, value: str) -> _Lines:
        """Lines that get the value of the field and answer it."""
        getter = self._resolving.getter(field, self._operation)
        self.name(getter.names)
        place = f"(around, {field.key!r}, {field.parent.name!r})"
        lines = [f"{value} = {getter.expression}"]
        if getter.needs_place:
            lines = [f"place = {place}", *lines]
        return [
            "try:",
            *_indented(lines + self._answer(field.slot, value, "place" if getter.needs_place else place)),
            "except Exception:",
            f"    {value} = fail(slot{field.slot.number}, {place}, run)",
        ]

    def _answer(self, slot: Slot, value: str, place: str) -> _Lines:
        """Lines that make of the value what the answer has in its place: quickly if they can, else by `offer`."""
        if is_leaf_type(slot.kind):
            usual = self._usual_leaf(slot, value, place)
        elif is_list_type(slot.kind):
            usual = _by_function(f"type({value}) is list", f"list{slot.number}", slot, value, place)
        else:
            usual = self._usual_object(slot, value, place)
        offer = f"{value} = offer({value}, slot{slot.number}, {place}, run, waiting)"
        if slot.nullable:
            return [*usual, f"{'elif' if usual else 'if'} {value} is not None: {offer}"]
        return [*usual, f"else: {offer}"] if usual else [offer]

    def _usual_leaf(self, slot: Slot, value: str, place: str) -> _Lines:
        quick = quick_leaf(slot)
        if quick is None:
            return []
        self.name(quick.names)
        test = quick.test.format(value)
        if quick.written is None:
            return [f"if {test}: pass"]
        written = quick.written.format(value)
        if quick.sure:
            return [f"if {test}: {value} = {written}"]
        judge = f"judge(written, {value}, slot{slot.number}, {place}, run=run, waiting=waiting)"
        return [
            f"if {test}:",
            f"    written = {written}",
            f"    {value} = written if type(written) in PLAIN else {judge}",
        ]

    def _usual_object(self, slot: Slot, value: str, place: str) -> _Lines:
        known = class_of(slot.kind) if is_object_type(slot.kind) and slot.composed is None else None
        if known is None:
            return []
        self.name({f"class{slot.number}": known})
        test = f"type({value}) is class{slot.number}"
        if slot.kind.is_type_of is not None:
            test += f" and getattr({value}, {TYPE_CAST_ATTRIBUTE!r}, None) is None"
        return _by_function(test, f"object{slot.below[slot.kind.name].number}", slot, value, place)


def _by_function(test: str, function: str, slot: Slot, value: str, place: str) -> _Lines:
    """Lines for an object or list that has a function of its own."""
    return [
        f"if {test}:",
        f"    {value} = {function}({value}, {place}, run)",
        f"    if type({value}) is Coroutine: {value} = wait({value}, slot{slot.number}, {place}, run, waiting)",
    ]


def _indented(lines: Iterable[str], levels: int = 1) -> _Lines:
    return [f"{'    ' * levels}{line}" for line in lines]


def _unless_failed(steps: Iterable[str], cleanup: str) -> _Lines:
    """The steps; an error in them that nothing has taken goes on once it is cleaned up behind them."""
    return ["try:", "    pass", *_indented(steps), "except Exception:", f"    {cleanup}", "    raise"]

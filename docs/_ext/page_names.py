"""The names that a statement of a page binds, reads and changes.

Files count as names: a statement that mentions ``"study.db"`` reads it, and changes it unless it only loads it. What a
function of the page changes, its calls change. Functions of libraries are taken to leave their arguments as they are,
but for those named here, and methods to change their object, but for those named here; `nox -s downloads` sees by what
programs print whether that holds.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

__all__ = ["BUILTINS", "FILE", "TEXT", "KnownNames", "Names"]

BUILTINS = frozenset(dir(builtins))
CHANGE_FIRST = frozenset(["fit", "setattr", "next"])
"""Functions that change their first argument."""
CHANGE_ARGUMENTS = frozenset(["update", "shuffle"])
"""Methods that change what they are given: ``optimizer.update(model, gradients)``."""
CONTAINERS = frozenset(["append", "extend", "add", "insert", "setdefault"])
"""Methods that are handed on to be called: ``on_evaluate=seen.append``."""
SETTINGS = re.compile("set|seed$|use$|simplefilter$|filterwarnings$")
"""Functions of a module that change what its other functions do: ``mx.random.seed(0)``."""
READ_FILES = frozenset([
    "load", "open", "read_csv", "read_bytes", "read_text", "import_function", "InferenceSession", "load_task",
])  # fmt: skip
"""Functions and methods that leave a file as it is."""
WRITE_TEXT = frozenset(["write_text", "to_csv"])
"""Methods that write the files that are only read elsewhere: programs, tables, settings."""
PURE_METHODS = frozenset([
    "abs", "all", "any", "argmax", "argmin", "astype", "max", "mean", "min", "reshape", "round", "std", "sum", "tolist",
    "copy", "count", "decode", "encode", "endswith", "format", "get", "index", "items", "join", "keys", "replace",
    "split", "splitlines", "startswith", "strip", "values",
    "baselines", "boundary", "brackets", "build", "export", "extended", "fold", "graph", "importance", "outputs",
    "parameters", "predict", "rerun", "save", "scaled_time", "score", "state", "stream", "summary", "table", "take",
    "task", "time_constants", "to_units", "with_gap_as_input", "without_time",
    "get_inputs", "get_outputs", "head", "isin", "to_numpy", "to_string",
])  # fmt: skip
"""Methods that leave their object as it is: of arrays, of Python's own types, of this library, of others."""
FILE = re.compile(r"\b[\w-]+\.(?:csv|db|jsonl?|mlxfn|npz|onnx|py|safetensors|toml|txt)\b")
TEXT = re.compile(r"\.(?:csv|py|toml|txt)$")
FUNCTION_IN_FILE = re.compile(rf"{FILE.pattern}:\w+")
"""``net.py:Net`` reads a file wherever it stands."""


@dataclass(frozen=True, kw_only=True)
class Function:
    """What calling a function of the page reads and changes: some of its parameters, and names outside of it."""

    parameters: tuple[str, ...]
    reads: frozenset[str]
    changes: frozenset[str]

    @property
    def outside(self) -> frozenset[str]:
        return self.changes - set(self.parameters)


@dataclass
class KnownNames:
    """What is known of a page after some of its statements."""

    imported: set[str] = field(default_factory=set)
    functions: dict[str, Function] = field(default_factory=dict)
    files: dict[str, frozenset[str]] = field(default_factory=dict)
    """Of an object or a file, the files that it was made with: a study's storage changes as the study does."""

    def inside(self) -> KnownNames:
        """Where functions are defined that nothing outside can call."""
        return replace(self, functions=dict(self.functions))


@dataclass
class Names(ast.NodeVisitor):
    """Collects the names of a statement; those that are bound within functions and comprehensions stay inside.

    A name that it has bound itself by the time it reads it, as a loop does its variable, is not one that it needs.
    """

    page: KnownNames
    made: set[str] = field(default_factory=set)
    bound: set[str] = field(default_factory=set)
    changed: set[str] = field(default_factory=set)
    read: set[str] = field(default_factory=set)
    files: set[str] = field(default_factory=set)
    loaded: set[str] = field(default_factory=set)

    def visit_Name(self, node: ast.Name) -> None:
        """A name that is read or bound; to hand a function on is to let it be called."""
        if not isinstance(node.ctx, ast.Load):
            self._bind(node.id)
        elif node.id not in self.bound:
            self.read.add(node.id)
            if node.id in self.page.functions:
                self.read |= self.page.functions[node.id].reads
                self.changed |= self.page.functions[node.id].outside

    def visit_Assign(self, node: ast.Assign) -> None:
        """The value comes first."""
        for part in (node.value, *node.targets):
            self.visit(part)

    def visit_For(self, node: ast.For) -> None:
        """Likewise what a loop goes over."""
        for part in (node.iter, node.target, *node.body, *node.orelse):
            self.visit(part)

    def visit_If(self, node: ast.If) -> None:
        """What a branch binds is not sure to be bound after it."""
        self.visit(node.test)
        self._visit_body(node.body)
        self._visit_body(node.orelse)

    def visit_While(self, node: ast.While) -> None:
        """Nor here."""
        self.visit(node.test)
        self._visit_body([*node.body, *node.orelse])

    def visit_Try(self, node: ast.Try) -> None:
        """Nor what was tried."""
        for part in (node.body, node.handlers, node.orelse, node.finalbody):
            self._visit_body(part)

    def _visit_body(self, parts: Sequence[ast.AST]) -> None:
        before = set(self.bound)
        for part in parts:
            self.visit(part)
        self.bound = before

    def visit_Constant(self, node: ast.Constant) -> None:
        """A text may name files."""
        if isinstance(node.value, str):
            self.files |= set(FILE.findall(node.value))
            self.loaded |= {name.partition(":")[0] for name in FUNCTION_IN_FILE.findall(node.value)}

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        """Reads what it binds."""
        self.visit(node.value)
        self.read |= {each.id for each in ast.walk(node.target) if isinstance(each, ast.Name)} - self.bound
        self.visit(node.target)
        self._change(node.target)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """Assigning to a part of an object changes it."""
        self.generic_visit(node)
        if not isinstance(node.ctx, ast.Load) or node.attr in CONTAINERS:
            self._change(node.value)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        """Assigning to an element likewise."""
        self.generic_visit(node)
        if not isinstance(node.ctx, ast.Load):
            self._change(node.value)

    def visit_Call(self, node: ast.Call) -> None:
        """A call may change its object, its arguments, and files that it names."""
        before = set(self.files)
        self.generic_visit(node)
        function, arguments = node.func, {str(place): value for place, value in enumerate(node.args)}
        arguments |= {word.arg: word.value for word in node.keywords if word.arg is not None}
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        if name in READ_FILES:
            self.loaded |= self.files - before
        elif name != "Path":
            self._use_files(self.files - before - self.loaded, node if name in WRITE_TEXT else None)
        if isinstance(function, ast.Attribute):
            self._call_method(function, arguments)
        elif name in self.page.functions:
            known = self.page.functions[name]
            for place, parameter in enumerate(known.parameters):
                given = arguments.get(parameter, arguments.get(str(place)))
                if parameter in known.changes and given is not None:
                    self._change(given)
        elif name in CHANGE_FIRST and node.args:
            self._change(node.args[0])

    def _use_files(self, files: set[str], writing: ast.Call | None) -> None:
        """A call that writes a text; or one that fills its files, runs a program, follows settings."""
        if writing is not None:
            written = {name for each in ast.walk(writing.func) if isinstance(each, ast.Constant)
                       for name in FILE.findall(str(each.value))}  # fmt: skip
            self.changed |= written or files
            return
        for name in files:
            named = self.page.files.get(name, frozenset()) if TEXT.search(name) else {name}
            self.changed |= {each for each in named if not TEXT.search(each)}

    def _call_method(self, function: ast.Attribute, arguments: dict[str, ast.expr]) -> None:
        root: ast.expr = function
        while isinstance(root, ast.Attribute):
            root = root.value
        if isinstance(root, ast.Name) and root.id in self.page.imported:
            if SETTINGS.match(function.attr):
                self.changed.add(root.id)
            return
        trains_record = function.attr == "train" and arguments  # a module's method of that name takes none
        if function.attr not in PURE_METHODS and not trains_record:
            self._change(function.value)
        if function.attr in CHANGE_ARGUMENTS:
            for argument in arguments.values():
                self._change(argument)

    def visit_Import(self, node: ast.Import) -> None:
        """Binds the name of the package, or the alias."""
        self._import({alias.asname or alias.name.partition(".")[0] for alias in node.names})

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """Binds its names."""
        self._import({alias.asname or alias.name for alias in node.names})

    def _import(self, names: set[str]) -> None:
        self._bind(*names)
        self.page.imported |= names

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        """Binds the error."""
        if node.name:
            self._bind(node.name)
        self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Binds its name; reads what is free in it, and changes what it changes, when it is called, which is later."""
        inner = self._nested(node, [*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)])
        parameters = tuple(each.arg for each in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs])
        own = inner.made - set(parameters)
        self.page.functions[node.name] = Function(
            parameters=parameters,
            reads=frozenset(inner.read - inner.made - BUILTINS) | inner.files,
            changes=frozenset(inner.changed - own),
        )
        self._bind(node.name)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        """Reads what is free in it; whoever is given it may call it."""
        inner = self._nested(node, [*node.args.defaults, *filter(None, node.args.kw_defaults)])
        self.changed |= inner.changed - inner.made

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """Binds its name; reads its bases and what is free in its body."""
        inner = Names(self.page.inside())
        for each in node.body:
            inner.visit(each)
        for expression in [*node.bases, *(word.value for word in node.keywords), *node.decorator_list]:
            self.visit(expression)
        self.read |= inner.read - inner.made - self.bound
        self.files |= inner.files
        self._bind(node.name)

    def generic_visit(self, node: ast.AST) -> None:
        """Visit the parts; what a comprehension binds does not leave it."""
        if isinstance(node, (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
            inner = Names(self.page)
            super(Names, inner).generic_visit(node)
            self.read |= inner.read - inner.made - self.bound
            self.changed |= inner.changed - inner.made
            self.files |= inner.files
            self.loaded |= inner.loaded
            return
        super().generic_visit(node)

    def _nested(self, node: ast.FunctionDef | ast.Lambda, outside: Sequence[ast.expr]) -> Names:
        inner = Names(self.page.inside())
        arguments = node.args
        named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
        inner.made |= {each.arg for each in named if each is not None}
        body: list[ast.stmt] | list[ast.expr] = node.body if isinstance(node, ast.FunctionDef) else [node.body]
        for part in body:
            inner.visit(part)
        self.read |= inner.read - inner.made - self.bound
        self.files |= inner.files
        for expression in outside:
            self.visit(expression)
        return inner

    def _bind(self, *names: str) -> None:
        self.made.update(names)
        self.bound.update(names)

    def _change(self, node: ast.expr) -> None:
        """The object whose part it is."""
        while isinstance(node, (ast.Attribute, ast.Subscript, ast.Starred)):
            node = node.value
        if isinstance(node, ast.Name):
            self.changed |= {node.id} - self.page.imported
        elif isinstance(node, (ast.List, ast.Tuple)):
            for each in node.elts:
                self._change(each)

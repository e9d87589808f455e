"""What a job in the sandbox may do: read what its manifest declares and compute with it.

A step's SQL is parsed by the Spark that would run it, and every object of the parsed plan must be of
a kind that is listed (coreetl_allowed.py): what nobody has thought of is refused. The walk takes the
arguments that a plan's nodes were made from, not their children: some nodes hide a plan there.
Parsing runs nothing and loads no class.
What this protects from, and what not: docs/decisions/batch-sandbox.md.
"""

import json
import os
import re

from py4j.java_gateway import JavaObject, is_instance_of
from py4j.protocol import Py4JError

from coreetl_allowed import (
    AZURE,
    AZURE_HOST,
    FORMATS,
    FUNCTIONS,
    LEAVES,
    NODES,
    OPTIONS,
    SCHEMES,
    SUBQUERIES,
    TABLE_FUNCTIONS,
    TYPES,
    VALUES,
)
from coreetl_failures import JobFailure

REFUSED_EXIT = 12

# What people call the kinds that are refused most.
_WORDS = {
    "InsertIntoStatement": "INSERT",
    "InsertIntoDir": "INSERT OVERWRITE DIRECTORY",
    "ScriptTransformation": "TRANSFORM … USING",
    "CompoundBody": "a script (BEGIN … END)",
    "Call": "CALL",
    "UnresolvedExecuteImmediate": "EXECUTE IMMEDIATE",
    "RelationTimeTravel": "time travel",
    "PlanWithUnresolvedIdentifier": "IDENTIFIER(…)",
    "ExpressionWithUnresolvedIdentifier": "IDENTIFIER(…)",
    "PosParameter": "a parameter without a name",
}

# Settings under which a statement means what its parsed plan shows.
SETTINGS = {
    # A name such as text.`/etc/passwd` is a file otherwise.
    "spark.sql.runSQLOnFiles": "false",
    # With LEGACY a name inside of a common table expression may mean another one's.
    "spark.sql.legacy.ctePrecedencePolicy": "CORRECTED",
    "spark.sql.caseSensitive": "false",
}


class _Scope:
    """Which names mean what was declared, and not a table of the catalog, at a place in a plan."""

    def __init__(self, declared, expressions=frozenset(), own=None):
        self._declared = declared
        #: Common table expressions.
        self._expressions = expressions
        #: The recursive one that this place is in the definition of.
        self._own = own

    def sees(self, name):
        return name in self._declared or name in self._expressions or name == self._own

    def after(self, name):
        return _Scope(self._declared, self._expressions | {name})

    def within(self, name):
        return _Scope(self._declared, self._expressions, name)

    def inner(self):
        """In a subquery, where a recursive one cannot be meant."""
        return _Scope(self._declared, self._expressions)

    def unsubstituted(self):
        """In what Spark does not look into for them, such as the WINDOW clause."""
        return _Scope(self._declared)


class Sandbox:
    """Checks of one Spark session."""

    def __init__(self, spark, local_folders=()):
        """`local_folders`: absolute paths on this machine that jobs may read, too."""
        self._gateway = spark.sparkContext._gateway
        self._parser = spark._jsparkSession.sessionState().sqlParser()
        self._local_folders = [os.path.normpath(folder) for folder in local_folders if folder]
        self._collections = {}
        self._types = spark.sparkContext._jvm.org.apache.spark.sql.types
        registries = spark.sparkContext._jvm.org.apache.spark.sql.catalyst.analysis
        # Of a name that this Spark does not know, its catalog may have a function.
        self._functions = FUNCTIONS & self._names(registries, "FunctionRegistry$")
        self._table_functions = TABLE_FUNCTIONS & (
            self._names(registries, "TableFunctionRegistry$") | {"range"}
        )

    def check_sql(self, step, sql, relations):
        """Refuses (JobFailure) what is no plain query of `relations`, or is Spark's own error."""
        stack = [(self._parser.parsePlan(sql), _Scope(frozenset(relations)))]
        while stack:
            value, scope = stack.pop()
            if not isinstance(value, JavaObject):
                continue  # A text, a number, nothing.
            kind = value.getClass().getName()
            if kind in NODES:
                self._enter(step, value, kind, scope, stack)
            elif kind in VALUES or TYPES.fullmatch(kind):
                continue
            elif kind == "scala.Some":
                stack.append((value.get(), scope))
            elif re.fullmatch(r"scala\.Tuple[234](\$\S+)?", kind):
                # A pair, such as one of the map that a WINDOW clause is.
                _push(stack, value.productIterator(), scope.unsubstituted())
            elif self._is_collection(kind, value):
                _push(stack, value.iterator(), scope)
            elif kind.endswith("CaseInsensitiveStringMap"):
                if not value.isEmpty():
                    raise _refusal(step, None, "Options of a relation (WITH …) are")
            else:
                raise _refusal(step, value, _word(kind) + " is")

    def check_source(self, name, source):
        """A table by its name, or files in a store; no path of this machine."""
        if "table" in source:
            parts = _texts(self._parser.parseMultipartIdentifier(source["table"]))
            if not all(re.fullmatch(r"[\w$-]+", part) for part in parts):
                raise _refusal(
                    name,
                    None,
                    'The table "%s" is' % source["table"],
                    "name it catalog.schema.table",
                )
        if "path" in source:
            self._check_path(name, source["path"])
            if source.get("format") not in FORMATS:
                raise _refusal(name, None, 'The format "%s" is' % source.get("format"))
        self._check_options(name, source.get("options"))

    def check_schema(self, name, ddl):
        """A column's default value, for one, is an expression that Spark would run."""
        types = self._types.StructType
        for part in _objects(json.loads(types.fromDDL(ddl).json())):
            if part.get("type") == "udt" or set(part.get("metadata") or {}) - {"comment"}:
                raise _refusal(name, None, "What its schema says besides names and types is")

    def check_sink(self, place, sink):
        """It is written to the job's scratch place, whatever it names."""
        if sink.get("format") is not None and sink["format"] not in FORMATS:
            raise _refusal(place, None, 'The format "%s" is' % sink["format"])
        self._check_options(place, sink.get("options"))

    @staticmethod
    def _check_options(name, options):
        for key in options or {}:
            if key.lower() not in OPTIONS:
                raise _refusal(name, None, 'The option "%s" is' % key)

    def _check_path(self, name, path):
        scheme, rest = re.fullmatch(
            r"(?:([A-Za-z][A-Za-z0-9+.-]*):)?(.*)", path, re.DOTALL
        ).groups()
        if scheme is not None and scheme.lower() in SCHEMES and rest.startswith("//"):
            host = rest[2:].split("/", 1)[0]
            if scheme.lower() in AZURE and not AZURE_HOST.fullmatch(host):
                raise _refusal(name, None, 'The host in "%s" is' % path, "use Azure's own")
            return
        if (
            (scheme or "file").lower() == "file"
            and rest.startswith("/")
            and ".." not in rest.split("/")
        ):
            local = os.path.realpath("/" + rest.lstrip("/"))
            # Hadoop takes braces and the like for patterns, in which a ".." could hide.
            if not re.search(r"[{}\[\]*?\\]", local) and any(
                (local + "/").startswith(os.path.realpath(folder) + "/")
                for folder in self._local_folders
            ):
                return
        raise _refusal(
            name,
            None,
            'The path "%s" is' % path,
            "use one of " + ", ".join(s + "://" for s in sorted(SCHEMES)),
        )

    def _enter(self, step, node, kind, scope, stack):
        """Checks one node, and puts what it is made from on the stack."""
        name = kind.rsplit(".", 1)[-1]
        if name == "UnresolvedRelation":
            self._check_relation(step, node, scope)
        elif name == "UnresolvedFunction":
            _check_function(step, node, _texts(node.nameParts()), self._functions)
        elif name == "UnresolvedTableValuedFunction":
            _check_function(step, node, _texts(node.name()), self._table_functions)
        elif name == "UnresolvedGenerator":
            identifier = node.name()
            parts = [identifier.funcName()] if identifier.database().isEmpty() else []
            _check_function(step, node, parts, self._table_functions)
        elif name in SUBQUERIES:
            scope = scope.inner()
        if name == "UnresolvedWith":
            self._enter_with(node, scope.inner(), stack)
        elif name == "CaseWhen":
            _push(stack, node.children().iterator(), scope)
        elif kind not in LEAVES:
            _push(stack, node.productIterator(), scope)

    def _enter_with(self, node, scope, stack):
        """A common table expression sees those before it, and itself where it is recursive."""
        recursive = _ask(node, "allowRecursion") is True
        relations = node.cteRelations().iterator()
        while relations.hasNext():
            definition = relations.next()
            name = _fold(definition.productElement(0))
            stack.append((definition.productElement(1), scope.within(name) if recursive else scope))
            scope = scope.after(name)
        stack.append((node.child(), scope))

    def _check_relation(self, step, node, scope):
        parts = _texts(node.multipartIdentifier())
        if len(parts) != 1 or not scope.sees(_fold(parts[0])):
            what = '"%s" is neither a source nor an earlier step: reading it is' % ".".join(parts)
            raise _refusal(step, node, what, "declare it in spec.coreEtl.sources")
        if node.isStreaming():
            raise _refusal(step, node, "Reading a stream is")

    def _is_collection(self, kind, value):
        if kind not in self._collections:
            found = is_instance_of(self._gateway, value, "scala.collection.Iterable")
            self._collections[kind] = found
        return self._collections[kind]

    @staticmethod
    def _names(registries, registry):
        found = (
            getattr(getattr(registries, registry), "MODULE$").builtin().listFunction().iterator()
        )
        names = set()
        while found.hasNext():
            names.add(found.next().funcName())
        return names


def _check_function(step, node, parts, allowed):
    if len(parts) != 1 or _fold(parts[0]) not in allowed:
        raise _refusal(step, node, 'The function "%s" is' % ".".join(parts))


def _ask(value, method):
    """The answer of a method without arguments; None where this release has no such method."""
    try:
        return getattr(value, method)()
    except Py4JError:
        return None


def _push(stack, iterator, scope):
    while iterator.hasNext():
        stack.append((iterator.next(), scope))


def _texts(sequence):
    iterator = sequence.iterator()
    texts = []
    while iterator.hasNext():
        texts.append(iterator.next())
    return texts


def _objects(value):
    """Every object in a JSON value."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    for inner in value if isinstance(value, list) else ():
        yield from _objects(inner)


def _fold(name):
    """As Spark compares names; one with other letters than ASCII only equals itself."""
    return name.lower() if all(ord(letter) < 128 for letter in name) else name


def _word(kind):
    name = kind.rsplit(".", 1)[-1].rstrip("$")
    return _WORDS.get(name) or re.sub(r"^Unresolved", "", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name))


def _refusal(name, node, what, instead="see docs/batch.md for what a job in the sandbox may do"):
    start = stop = None
    origin = None if node is None else _ask(node, "origin")
    if origin is not None:
        start = _option(origin.startIndex())
        stop = _option(origin.stopIndex())
    message = "%s refused in the sandbox: %s." % (what, instead)
    return JobFailure(REFUSED_EXIT, "SANDBOX_REFUSED", message, name, start, stop)


def _option(value):
    return value.get() if value.isDefined() else None

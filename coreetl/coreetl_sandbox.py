"""What a job in the sandbox may do: read what its manifest declares and compute with it, nothing else.

A step's SQL is parsed by the Spark that would run it, and every object of the parsed plan must be of a kind
that is listed here: what nobody has thought of is refused. The walk takes the arguments that a plan's nodes
were made from, not their children: some nodes hide a plan there. Parsing runs nothing and loads no class.
What this protects from, and what not: docs/decisions/batch-sandbox.md.
"""
import json
import os
import re

from py4j.java_gateway import JavaObject, is_instance_of
from py4j.protocol import Py4JError

from coreetl_failures import JobFailure
from coreetl_functions import FUNCTIONS, TABLE_FUNCTIONS

REFUSED_EXIT = 12

_CATALYST = "org.apache.spark.sql.catalyst."

# Nodes of plans: they only combine rows of what they are made from.
_PLANS = frozenset(
    """
    Aggregate Distinct Except Filter Generate GlobalLimit Intersect Join LateralJoin LimitAll LocalLimit
    LocalRelation Offset OneRowRelation Pivot Project RepartitionByExpression Sample Sort SubqueryAlias Union
    Unpivot UnresolvedHint UnresolvedWith WithWindowDefinition
    """.split()
)
_UNRESOLVED = frozenset(
    """
    MultiAlias NamedParameter UnresolvedAlias UnresolvedAttribute UnresolvedExtractValue UnresolvedFunction
    UnresolvedGenerator UnresolvedHaving UnresolvedInlineTable UnresolvedOrdinal UnresolvedQualify
    UnresolvedRelation UnresolvedStar UnresolvedStarExceptOrReplace UnresolvedStarWithColumns
    UnresolvedStarWithColumnsRenames UnresolvedSubqueryColumnAliases UnresolvedTVFAliases
    UnresolvedTableValuedFunction
    """.split()
)
# Expressions that have a syntax of their own; all others are functions, called by name.
_EXPRESSIONS = frozenset(
    """
    Add Alias And BitwiseAnd BitwiseNot BitwiseOr BitwiseXor CaseWhen Cast Coalesce Collate Concat Contains
    CreateNamedStruct CreateStruct Cube CurrentDate CurrentTime CurrentTimestamp CurrentUser Divide EndsWith
    EqualNullSafe EqualTo Exists FunctionTableSubqueryArgumentExpression GreaterThan GreaterThanOrEqual
    GroupingSets ILike In InSubquery IntegralDivide IsNotNull IsNull LambdaFunction LateralSubquery LessThan
    LessThanOrEqual Like LikeAll LikeAny ListQuery Literal Multiply NamedArgumentExpression Not NotLikeAll
    NotLikeAny Or Overlay PipeExpression PipeOperator RLike Remainder Rollup ScalarSubquery
    SemiStructuredExtract ShiftLeft ShiftRight ShiftRightUnsigned SortOrder SpecifiedWindowFrame StartsWith
    StringLocate StringTrim StringTrimBoth StringTrimLeft StringTrimRight Substring Subtract TimestampAdd
    TimestampDiff UnaryMinus UnaryPositive UnresolvedCollation UnresolvedNamedLambdaVariable
    UnresolvedWindowExpression WindowExpression WindowSpecDefinition WindowSpecReference
    aggregate.AggregateExpression aggregate.AnyValue aggregate.First aggregate.Last aggregate.PercentileCont
    aggregate.PercentileDisc
    IsUnknown$$anon$1 IsUnknown$$anon$2 IsNotUnknown$$anon$1 IsNotUnknown$$anon$2
    """.split()
)
# Values that nodes are made from and that lead to no other node.
_VALUES = frozenset(
    [
        "java.util.UUID",
        "java.lang.Object",
        "scala.Enumeration$Val",
        "scala.None$",
        "org.apache.spark.unsafe.types.UTF8String",
        "org.apache.spark.unsafe.types.CalendarInterval",
        _CATALYST + "AliasIdentifier",
        _CATALYST + "FunctionIdentifier",
        _CATALYST + "expressions.ExprId",
        _CATALYST + "expressions.NumericEvalContext",
        _CATALYST + "plans.logical.JoinHint",
    ]
    + [_CATALYST + "expressions." + name + "$" for name in ("Ascending", "Descending", "NullsFirst", "NullsLast")]
    + [_CATALYST + "expressions." + name + "$" for name in ("RangeFrame", "RowFrame", "UnspecifiedFrame")]
    + [
        _CATALYST + "expressions." + name + "$"
        for name in ("CurrentRow", "UnboundedPreceding", "UnboundedFollowing")
    ]
    + [_CATALYST + "expressions.aggregate.Complete$"]
    + [_CATALYST + "plans.logical.SampleMethod$" + name + "$" for name in ("Bernoulli", "System")]
)
_JOIN_TYPES = frozenset(
    _CATALYST + "plans." + name
    for name in """
    Cross$ FullOuter$ Inner$ LeftAnti$ LeftOuter$ LeftSemi$ RightOuter$ NaturalJoin UsingJoin
    """.split()
)
_NODES = frozenset(
    [_CATALYST + "plans.logical." + name for name in _PLANS]
    + [_CATALYST + "analysis." + name for name in _UNRESOLVED]
    + [_CATALYST + "expressions." + name for name in _EXPRESSIONS]
)
_TYPES = re.compile(
    r"org\.apache\.spark\.sql\.types\.(Decimal|Metadata|StructField|((Array|Binary|Boolean|Byte|CalendarInterval|Char"
    r"|Date|DayTimeInterval|Decimal|Double|Float|Geography|Geometry|Integer|Long|Map|Null|Short|String|Struct|Time"
    r"|Timestamp|TimestampNTZ|TimestampNanos|TimestampNTZNanos|TimestampLTZNanos|Varchar|Variant"
    r"|YearMonthInterval)Type))\$?"
)
# Nodes without others in them.
_LEAVES = frozenset(
    [_CATALYST + "expressions.Literal", _CATALYST + "analysis.UnresolvedAttribute"]
    + [_CATALYST + "analysis.UnresolvedStar", _CATALYST + "plans.logical.LocalRelation"]
)

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

FORMATS = frozenset("parquet csv json orc avro delta text".split())

# Options of sources and sinks, in lower case. Others are refused: Hadoop takes each for a setting of its own,
# and some are the name of a file (avroSchemaUrl, path, paths) or of a class (fs.*.impl).
OPTIONS = frozenset(
    """
    sep delimiter encoding charset quote escape comment header inferschema preferdate enforceschema
    ignoreleadingwhitespace ignoretrailingwhitespace nullvalue nanvalue positiveinf negativeinf dateformat
    timestampformat timestampntzformat timeformat enabledatetimeparsingfallback maxcolumns maxcharspercolumn mode
    columnnameofcorruptrecord multiline chartoescapequoteescaping samplingratio emptyvalue locale linesep
    unescapedquotehandling compression quoteall escapequotes primitivesasstring prefersdecimal allowcomments
    allowunquotedfieldnames allowsinglequotes allownumericleadingzeros allowbackslashescapinganycharacter
    allowunquotedcontrolchars allownonnumericnumbers dropfieldifallnull ignorenullfields wholetext mergeschema
    datetimerebasemode int96rebasemode pathglobfilter recursivefilelookup modifiedbefore modifiedafter
    ignorecorruptfiles ignoremissingfiles timezone versionasof timestampasof overwriteschema
    """.split()
)

# Stores that are reached with the job's own rights. Not: the driver's own files, HTTP and whatever else
# Hadoop reads, with which a job could ask servers that only the driver reaches.
SCHEMES = frozenset("s3 s3a s3n gs abfs abfss wasb wasbs oss cosn obs".split())


class Sandbox:
    """Checks of one Spark session."""

    def __init__(self, spark, local_folders=()):
        """`local_folders`: absolute paths on this machine that jobs may read, too."""
        self._gateway = spark.sparkContext._gateway
        self._parser = spark._jsparkSession.sessionState().sqlParser()
        self._local_folders = [os.path.normpath(folder) for folder in local_folders if folder]
        self._kinds = {}
        self._types = spark.sparkContext._jvm.org.apache.spark.sql.types
        registries = spark.sparkContext._jvm.org.apache.spark.sql.catalyst.analysis
        # Of a name that this Spark does not know, its catalog may have a function of somebody's making.
        self._functions = FUNCTIONS & self._names(registries, "FunctionRegistry$")
        self._table_functions = TABLE_FUNCTIONS & (
            self._names(registries, "TableFunctionRegistry$") | {"range"}
        )

    def check_sql(self, step, sql, relations):
        """Refuses (JobFailure) what is no plain query of `relations`. A text that does not parse is Spark's error."""
        stack = [(self._parser.parsePlan(sql), frozenset(relations))]
        while stack:
            value, names = stack.pop()
            if not isinstance(value, JavaObject):
                continue  # A text, a number, nothing.
            kind = value.getClass().getName()
            if kind in _NODES:
                self._enter(step, value, kind[len(_CATALYST) :].split(".", 1)[1], kind, names, stack)
            elif kind in _VALUES or kind in _JOIN_TYPES or _TYPES.fullmatch(kind):
                continue
            elif self._shape(kind, value) == "collection":
                _push(stack, value.iterator(), names)
            elif kind == "scala.Some" or re.fullmatch(r"scala\.Tuple[234](\$\S+)?", kind):
                _push(stack, value.productIterator(), names)
            elif kind.endswith("CaseInsensitiveStringMap"):
                if not value.isEmpty():
                    raise _refusal(step, None, "Options of a relation (WITH …) are")
            else:
                raise _refusal(step, value, _word(kind) + " is")

    def check_source(self, name, source):
        """A source of the manifest: a table by its name, or files in a store; no path of this machine."""
        if "table" in source:
            parts = _texts(self._parser.parseMultipartIdentifier(source["table"]))
            if not all(re.fullmatch(r"[\w$-]+", part) for part in parts):
                raise _refusal(name, None, 'The table "%s" is' % source["table"], "name it catalog.schema.table")
        if "path" in source:
            self._check_path(name, source["path"])
            if source.get("format") not in FORMATS:
                raise _refusal(name, None, 'The format "%s" is' % source.get("format"))
        self._check_options(name, source.get("options"))

    def check_schema(self, name, ddl):
        """What a column has besides its type, such as a default value, is an expression that Spark would run."""
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
        scheme, rest = re.fullmatch(r"(?:([A-Za-z][A-Za-z0-9+.-]*):)?(.*)", path, re.DOTALL).groups()
        if scheme is not None and scheme.lower() in SCHEMES and rest.startswith("//"):
            return
        if (scheme or "file").lower() == "file" and rest.startswith("/") and ".." not in rest.split("/"):
            local = os.path.realpath("/" + rest.lstrip("/"))
            # Hadoop takes braces and the like for patterns, in which a ".." could hide.
            if not re.search(r"[{}\[\]*?\\]", local) and any(
                (local + "/").startswith(os.path.realpath(folder) + "/") for folder in self._local_folders
            ):
                return
        raise _refusal(
            name, None, 'The path "%s" is' % path, "use one of " + ", ".join(s + "://" for s in sorted(SCHEMES))
        )

    def _enter(self, step, node, name, kind, names, stack):
        """Checks one node, and puts what it is made from on the stack."""
        if name == "UnresolvedRelation":
            self._check_relation(step, node, names)
        elif name == "UnresolvedFunction":
            _check_function(step, node, _texts(node.nameParts()), self._functions)
        elif name == "UnresolvedTableValuedFunction":
            _check_function(step, node, _texts(node.name()), self._table_functions)
        elif name == "UnresolvedGenerator":
            identifier = node.name()
            parts = [identifier.funcName()] if identifier.database().isEmpty() else []
            _check_function(step, node, parts, self._table_functions)
        elif name == "UnresolvedWith":
            return self._enter_with(node, names, stack)
        if kind not in _LEAVES:
            _push(stack, node.productIterator(), names)

    def _enter_with(self, node, names, stack):
        """A common table expression sees those before it, and itself where it is recursive."""
        recursive = _ask(node, "allowRecursion") is True
        relations = node.cteRelations().iterator()
        while relations.hasNext():
            definition = relations.next()
            name = _fold(definition.productElement(0))
            stack.append((definition.productElement(1), names | {name} if recursive else names))
            names = names | {name}
        stack.append((node.child(), names))

    def _check_relation(self, step, node, names):
        parts = _texts(node.multipartIdentifier())
        if len(parts) != 1 or _fold(parts[0]) not in names:
            what = '"%s" is neither a source of the manifest nor an earlier step: reading it is' % ".".join(parts)
            raise _refusal(step, node, what, "declare it in spec.coreEtl.sources")
        if node.isStreaming():
            raise _refusal(step, node, "Reading a stream is")

    def _shape(self, kind, value):
        if kind not in self._kinds:
            iterable = is_instance_of(self._gateway, value, "scala.collection.Iterable")
            self._kinds[kind] = "collection" if iterable else "other"
        return self._kinds[kind]

    @staticmethod
    def _names(registries, registry):
        found = getattr(getattr(registries, registry), "MODULE$").builtin().listFunction().iterator()
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


def _push(stack, iterator, names):
    while iterator.hasNext():
        stack.append((iterator.next(), names))


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
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
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

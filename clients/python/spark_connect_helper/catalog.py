"""What there is to query: catalogs, databases, tables, and a table's columns.

Each function shows a table and returns it. In a notebook it is shown once, also as a cell's last value.
"""

from __future__ import annotations

import html
import sys
from typing import TYPE_CHECKING, Any, List, Optional, Sequence, Tuple, Union

from .errors import SettingsError
from .tokens.chain import in_notebook

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

#: A name as people write it (``catalog.database``, parts in backticks if they hold dots), or its parts.
Name = Union[str, Sequence[str]]


class Listing(List[Tuple[Any, ...]]):
    """Rows with the names of their columns; a list of tuples to a program."""

    def __init__(self, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        super().__init__(tuple(row) for row in rows)
        self.columns = tuple(columns)
        self._shown_in_cell: Optional[int] = None

    def column(self, name: str) -> List[Any]:
        index = self.columns.index(name)
        return [row[index] for row in self]

    def __repr__(self) -> str:
        return f"<{len(self)} rows: {', '.join(self.columns)}>"

    def __str__(self) -> str:
        cells = [self.columns, *([_text(value) for value in row] for row in self)]
        widths = [max(len(row[i]) for row in cells) for i in range(len(self.columns))]
        lines = [
            "  ".join(text.ljust(w) for text, w in zip(row, widths, strict=True)).rstrip()
            for row in cells
        ]
        return "\n".join([lines[0], "  ".join("-" * w for w in widths), *lines[1:]])

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{html.escape(name)}</th>" for name in self.columns)
        rows = "".join(
            "<tr>" + "".join(f"<td>{html.escape(_text(value))}</td>" for value in row) + "</tr>"
            for row in self
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"

    def _ipython_display_(self) -> None:
        """IPython calls this for a cell's last value; what was shown in this cell is not shown again."""
        cell = _cell()
        if cell is not None and cell == self._shown_in_cell:
            return
        _display(self)

    def show(self) -> "Listing":
        if in_notebook():
            self._shown_in_cell = _cell()
            _display(self)
        else:
            print(self)
        return self


def show_catalogs(spark: "SparkSession", *, like: Optional[str] = None) -> Listing:
    """The catalogs that the session knows. like: a pattern with ``*`` and ``|``.

    Spark lists a catalog once it has been used; one that is only configured comes at its first use.
    """
    return _query(spark, f"SHOW CATALOGS{_like(like)}")


def show_databases(
    spark: "SparkSession", catalog: Optional[Name] = None, *, like: Optional[str] = None
) -> Listing:
    """The databases of a catalog; None: of the current one."""
    where = "" if catalog is None else f" IN {quoted(catalog)}"
    return _query(spark, f"SHOW DATABASES{where}{_like(like)}")


def show_tables(
    spark: "SparkSession", database: Optional[Name] = None, *, like: Optional[str] = None
) -> Listing:
    """The tables and views of a database (``db`` or ``catalog.db``); None: of the current one."""
    where = "" if database is None else f" IN {quoted(database)}"
    return _query(spark, f"SHOW TABLES{where}{_like(like)}")


def describe_table(spark: "SparkSession", table: Name, *, extended: bool = False) -> Listing:
    """The columns of a table with types and comments; extended: and what else Spark knows of it."""
    return _query(spark, f"DESCRIBE TABLE {'EXTENDED ' if extended else ''}{quoted(table)}")


def quoted(name: Name) -> str:
    """A name for SQL, each part in backticks, so that nothing in it is read as SQL. Raises SettingsError."""
    parts = _parts(name) if isinstance(name, str) else [str(part) for part in name]
    if not parts or any(part == "" for part in parts):
        raise SettingsError(f"Not a name: {name!r}")
    return ".".join("`" + part.replace("`", "``") + "`" for part in parts)


def _parts(name: str) -> List[str]:
    """Splits at dots outside of backticks; in backticks, two of them are one."""
    parts: List[str] = []
    rest = name
    while True:
        if rest.startswith("`"):
            part, rest = _in_backticks(rest, name)
        else:
            end = rest.find(".")
            part, rest = (rest, "") if end < 0 else (rest[:end], rest[end:])
        parts.append(part)
        if rest == "":
            return parts
        if not rest.startswith("."):
            raise SettingsError(f"Not a name: {name!r}")
        rest = rest[1:]


def _in_backticks(text: str, name: str) -> "tuple[str, str]":
    part = ""
    at = 1
    while True:
        end = text.find("`", at)
        if end < 0:
            raise SettingsError(f"A backtick is not closed: {name!r}")
        part += text[at:end]
        if not text.startswith("``", end):
            return part, text[end + 1 :]
        part += "`"
        at = end + 2


def _like(pattern: Optional[str]) -> str:
    if pattern is None:
        return ""
    escaped = pattern.replace("\\", "\\\\").replace("'", "\\'")
    return f" LIKE '{escaped}'"


def _query(spark: "SparkSession", sql: str) -> Listing:
    frame = spark.sql(sql)
    return Listing(frame.columns, frame.collect()).show()


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _cell() -> Optional[int]:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "execution_count", None)


def _display(listing: Listing) -> None:
    from IPython.display import publish_display_data

    publish_display_data({"text/plain": str(listing), "text/html": listing._repr_html_()})

"""Reports as data for programs, and as JUnit's XML for the machinery that tests a site's own files."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from adapter.testkit.subject import Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adapter.testkit.run import Report

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def data_of(report: Report) -> dict[str, Any]:
    """Return *report* as plain data."""
    return {
        "backend": report.backend,
        "ok": report.is_ok,
        "counts": {str(status): report.count(status) for status in Status},
        "notes": report.notes,
        "rows": [
            {
                "kind": row.kind,
                "name": row.name,
                "about": row.about,
                "result": str(row.outcome.status),
                "why": row.outcome.why or None,
            }
            for row in report.rows
        ],
    }


def junit(reports: Sequence[Report]) -> str:
    """Return *reports* as JUnit's XML, one suite a backend; what is not applicable is skipped there."""
    root = ET.Element("testsuites", name="adapter test")
    for report in reports:
        suite = ET.SubElement(
            root,
            "testsuite",
            name=report.backend,
            tests=str(len(report.rows)),
            failures=str(report.count(Status.FAILED)),
            errors="0",
            skipped=str(report.count(Status.NOT_APPLICABLE)),
        )
        for row in report.rows:
            case = ET.SubElement(suite, "testcase", classname=f"{report.backend}.{row.kind}", name=_text(row.name))
            if row.outcome.status is Status.FAILED:
                ET.SubElement(case, "failure", message=_text(row.outcome.why)).text = _text(row.about)
            if row.outcome.status is Status.NOT_APPLICABLE:
                ET.SubElement(case, "skipped", message=_text(row.outcome.why))
        if report.notes:
            ET.SubElement(suite, "system-out").text = _text("\n".join(report.notes))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _text(text: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)

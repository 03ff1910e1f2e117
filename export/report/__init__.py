"""The report of an export: `report.json` for programs, `report.html` for people."""

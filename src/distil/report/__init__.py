"""The HTML report. Start at page.py; facts.py reads the files, view.py prepares them, charts.py draws."""

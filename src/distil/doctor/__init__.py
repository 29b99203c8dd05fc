"""What is wrong with a project and how to fix it. Start at checks.py (the list); evidence.py is what every check sees."""

"""The command line (layer 6). Start at main.py; each command is one file that parses, calls and prints."""

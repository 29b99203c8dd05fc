"""What runs a student: this process, or a server in front of it. Start at base.py."""
